"""Celloquy's own cells, kernels and samplers, brought in by the same hooks as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.hookspecs import hookimpl
from plugins.sampler_options import MIROSTAT, TYPICAL
from plugins.wording_options import BANNED, LOGIT_BIAS

if TYPE_CHECKING:
    import torch

    from cells.cell import Cell
    from cells.layer import Kernel
    from plugins.registry import RegisterCell, RegisterSampler


@hookimpl
def register_cells(register: RegisterCell) -> None:
    """The three cells that ship; lazily, so that nothing here imports torch."""
    register("rnn", "cells.rnn:RNN", summary="simple recurrent network (Elman 1990)")
    register("lstm", "cells.lstm:LSTM", summary="long short-term memory with a forget gate (Gers et al. 2000)")
    register("gru", "cells.gru:GRU", summary="gated recurrent unit, reset after the product (the cuDNN form)")


@hookimpl
def register_samplers(register: RegisterSampler) -> None:
    """Those beyond the usual; top-k, top-p, min-p and the repetition penalty come from ``repl``."""
    register("plugins.wording:LogitBias", name="logit-bias", options=LOGIT_BIAS, order=20)
    register("plugins.wording:Banned", name="banned", options=BANNED, order=30)
    register("plugins.typical:Typical", name="typical", options=TYPICAL, order=300)
    register("plugins.mirostat:Mirostat", name="mirostat", options=MIROSTAT, order=700)


@hookimpl
def cell_kernel(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
    """torch's fused kernels for the three; on CUDA the loop of any other cell as graphs, in training."""
    from cells.kernels import builtin_kernel

    kernel = builtin_kernel(cell, device, dtype, training)
    if kernel is None and training and device.type == "cuda":
        from cells.graphed_loop import GraphedLoop

        return GraphedLoop()
    return kernel
