"""The built-in cells' steps for decoding: what their ``step`` computes, in place and with the cheaper tanh.

Beside the product a step of many rows is mostly its tanh: torch's takes many times as long as its sigmoid, so that
tanh(z) = 2 sigmoid(2 z) - 1 is used, the inner factor folded into the weights, where doubling rounds nothing. One row
takes as long as by ``step``, 32 rows half as long. Tests hold every one to the cell's ``step``. For float32 on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cells.cell import Cell
from cells.gru import GRU
from cells.layer import Layer
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.state import LayerState

Step = Callable[[Tensor, Tensor, LayerState], LayerState]
"""(projected input [B, G H], recurrent product [B, G H], state) -> the new state; nothing given is changed in place."""


class RowStep(NamedTuple):
    """A step, and what a layer's weights must be for it.

    ``scale`` [G H] multiplies the rows of the recurrent matrix, and all that makes the projected input; ``bias`` [G H]
    is added to the recurrent product, after that.
    """

    step: Step
    scale: Tensor
    bias: Tensor | None = None


def row_step(layer: Layer) -> RowStep | None:
    """The step for this layer; None where the cell's own must do."""
    make = STEPS.get(type(layer.cell))
    if make is None or layer.W.device.type != "cpu" or layer.W.dtype != torch.float32:
        return None
    return make(layer)


def doubled(layer: Layer, *gates: str) -> Tensor:
    """2 for the rows of these gates and 1 for the others, [G H]."""
    factors = torch.ones(len(layer.gates), layer.hidden_size)
    for gate in gates:
        factors[layer.gates.index(gate)] = 2.0
    return factors.flatten()


def candidate_bias(layer: Layer) -> Tensor:
    """A GRU's p_n in its place beside the recurrent product, doubled as that is, [G H]."""
    return torch.cat([torch.zeros(2 * layer.hidden_size), 2.0 * layer.p["n"].detach()])


def _rnn(layer: Layer) -> RowStep:
    if layer.cell.options["activation"] == "relu":
        return RowStep(lambda x, u, state: {"h": torch.add(x, u).relu_()}, doubled(layer))
    return RowStep(lambda x, u, state: {"h": torch.add(x, u).sigmoid_().mul_(2.0).sub_(1.0)}, doubled(layer, "h"))


def _gru(layer: Layer) -> RowStep:
    size = layer.hidden_size

    def step(x: Tensor, u: Tensor, state: LayerState) -> LayerState:
        rz = torch.add(x[:, : 2 * size], u[:, : 2 * size]).sigmoid_()
        n = torch.addcmul(x[:, 2 * size :], rz[:, :size], u[:, 2 * size :]).sigmoid_().mul_(2.0).sub_(1.0)
        return {"h": torch.lerp(n, state["h"], rz[:, size:])}  # n + z (h - n)

    return RowStep(step, doubled(layer, "n"), candidate_bias(layer))


def _lstm(layer: Layer) -> RowStep:
    def step(x: Tensor, u: Tensor, state: LayerState) -> LayerState:
        i, f, g, o = torch.add(x, u).sigmoid_().chunk(4, 1)
        c = torch.addcmul(f * state["c"], i, g.mul(2.0).sub_(1.0))
        return {"h": torch.add(c, c).sigmoid_().mul_(2.0).sub_(1.0).mul_(o), "c": c}

    return RowStep(step, doubled(layer, "g"))


STEPS: dict[type[Cell], Callable[[Layer], RowStep]] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
