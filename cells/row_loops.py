"""The built-in cells over many rows side by side, without autograd: a few large operations in place a step.

What a step costs beside its product is mostly its tanh: torch's takes nine times as long as its sigmoid, so that
tanh(z) = 2 sigmoid(2 z) - 1 is used, the inner factor folded into the weights. A test holds every loop to the cell's
``step``. For float32 on a CPU; ``cells.row_reader`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cells.cell import Cell
from cells.gru import GRU
from cells.layer import Layer
from cells.lstm import LSTM
from cells.packed import Product, fixed_product
from cells.rnn import RNN
from cells.row_steps import candidate_bias, doubled
from cells.state import LayerState

KEPT = "kept"
"""With this in the state of a layer whose cell state is only multiplied and added to (an LSTM's c), the loop multiplies
it with the share that is kept at each step: of a difference in c, while all else is alike, so much is left."""

PACKED_FOR = 64

Loop = Callable[[Sequence[Tensor], LayerState, Tensor], LayerState]
"""(a projected input [B, G H] for each step, scaled as :func:`row_loop` says; state; outputs [T, B, H], to be filled)
-> the state after."""

LoopMaker = Callable[[Layer], tuple[Loop, Tensor]]


def row_loop(layer: Layer) -> tuple[Loop, Tensor] | None:
    """A loop over this layer, and what its projected input must be multiplied with, [G H]; None if there is none."""
    make = LOOPS.get(type(layer.cell))
    if make is None or layer.W.device.type != "cpu" or layer.W.dtype != torch.float32:
        return None
    return make(layer)


def _product(layer: Layer, scale: Tensor, bias: Tensor | None = None) -> Product:
    """The recurrent product with ``scale`` folded into its rows."""
    return fixed_product(layer.R["h"].detach() * scale.unsqueeze(1), PACKED_FOR, bias)


def _rnn(layer: Layer) -> tuple[Loop, Tensor]:
    relu = layer.cell.options["activation"] == "relu"
    scale = doubled(layer) if relu else doubled(layer, "h")
    product = _product(layer, scale)

    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h = state["h"]
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            z = product(h).add_(x)
            if relu:
                torch.relu_(z)
                h = out.copy_(z)
            else:
                h = torch.sub(z.sigmoid_().mul_(2.0), 1.0, out=out)
        return {"h": h.clone()}

    return loop, scale


def _gru(layer: Layer) -> tuple[Loop, Tensor]:
    size = layer.hidden_size
    scale = doubled(layer, "n")
    product = _product(layer, scale, candidate_bias(layer))

    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h = state["h"]
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            u = product(h)
            rz = u[:, : 2 * size].add_(x[:, : 2 * size]).sigmoid_()
            n = torch.addcmul(x[:, 2 * size :], rz[:, :size], u[:, 2 * size :]).sigmoid_().mul_(2.0).sub_(1.0)
            h = torch.lerp(n, h, rz[:, size:], out=out)  # n + z (h - n)
        return {"h": h.clone()}

    return loop, scale


def _lstm(layer: Layer) -> tuple[Loop, Tensor]:
    scale = doubled(layer, "g")
    product = _product(layer, scale)

    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h, twice = state["h"], 2.0 * state["c"]  # twice c is what its tanh wants
        kept = state.get(KEPT)
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            i, f, g, o = product(h).add_(x).sigmoid_().chunk(4, 1)
            if kept is not None:
                kept = kept * f
            twice = (f.mul_(twice)).addcmul_(i, g.mul_(4.0).sub_(2.0))
            h = torch.mul(twice.sigmoid().mul_(2.0).sub_(1.0), o, out=out)
        after = {"h": h.clone(), "c": 0.5 * twice}
        return after if kept is None else {**after, KEPT: kept}

    return loop, scale


LOOPS: dict[type[Cell], LoopMaker] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
