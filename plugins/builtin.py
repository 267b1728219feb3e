"""Celloquy's own cells, kernels and samplers, brought in by the same hooks as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    import torch

    from cells.cell import Cell
    from cells.layer import Kernel
    from plugins.registry import RegisterCell


@hookimpl
def register_cells(register: RegisterCell) -> None:
    """The three cells that ship; lazily, so that nothing here imports torch."""
    register("rnn", "cells.rnn:RNN", summary="simple recurrent network (Elman 1990)")
    register("lstm", "cells.lstm:LSTM", summary="long short-term memory with a forget gate (Gers et al. 2000)")
    register("gru", "cells.gru:GRU", summary="gated recurrent unit, reset after the product (the cuDNN form)")


@hookimpl
def cell_kernel(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
    """torch's fused kernels for the three."""
    from cells.kernels import builtin_kernel

    return builtin_kernel(cell, device, dtype, training)
