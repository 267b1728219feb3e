"""Fused kernels for the built-in cells: torch.nn's own on CPU, cuDNN's on CUDA, for a whole layer and sequence.

A kernel is only a faster way to compute what ``step`` says; tests hold it to that, on outputs, states and gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cells.cell import Cell
from cells.gru import GRU
from cells.layer import Kernel, Layer
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.state import LayerState


def builtin_kernel(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
    """The fused kernel for RNN, LSTM or GRU where it is faster than the loop; None declines.

    Measured on CPU (``tests/benchmarks/kernels.py``): in training the engine's own way (``cells.whole_loops``) is
    faster than every kernel, and in bfloat16 it keeps the state in float32; in inference the LSTM's kernel wins. On
    CUDA (cuDNN) the kernels always win.
    """
    kernel = FUSED.get(type(cell))
    if kernel is None or device.type not in ("cpu", "cuda"):
        return None
    if device.type == "cpu" and (training or type(cell) is not LSTM):
        return None
    return kernel


def fused_kernel(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
    """The fused kernel for RNN, LSTM or GRU, faster or not; None for any other cell."""
    return FUSED.get(type(cell)) if device.type in ("cpu", "cuda") else None


def _weights(layer: Layer, second_bias: Tensor) -> list[Tensor]:
    """The four tensors of a ``torch.nn`` layer, in the dtype of the products."""
    weights = (layer.W, layer.R["h"], layer.b, second_bias)
    return [weight.to(layer.product_dtype) for weight in weights]


def _rnn(layer: Layer, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    relu = layer.cell.options["activation"] == "relu"
    run = torch._VF.rnn_relu if relu else torch._VF.rnn_tanh
    return _one_state(run, layer, x, state, torch.zeros_like(layer.b))


def _gru(layer: Layer, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    candidate = layer.p["n"]
    second_bias = torch.cat([candidate.new_zeros(2 * layer.hidden_size), candidate])
    return _one_state(torch._VF.gru, layer, x, state, second_bias)


def _one_state(
    run: object, layer: Layer, x: Tensor, state: LayerState, second_bias: Tensor
) -> tuple[Tensor, LayerState]:
    low = layer.product_dtype
    h = state["h"].to(low).unsqueeze(0)
    y, last = run(  # type: ignore[operator]
        x.to(low), h, _weights(layer, second_bias), True, 1, 0.0, layer.training, False, False
    )
    return y.to(x.dtype), {"h": last.squeeze(0).to(state["h"].dtype)}


def _lstm(layer: Layer, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    low = layer.product_dtype
    start = [state[name].to(low).unsqueeze(0) for name in ("h", "c")]
    y, h, c = torch._VF.lstm(
        x.to(low), start, _weights(layer, torch.zeros_like(layer.b)), True, 1, 0.0, layer.training, False, False
    )
    wide = state["h"].dtype
    return y.to(x.dtype), {"h": h.squeeze(0).to(wide), "c": c.squeeze(0).to(wide)}


FUSED: dict[type[Cell], Kernel] = {RNN: _rnn, LSTM: _lstm, GRU: _gru}
