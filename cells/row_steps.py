"""The built-in cells' steps for decoding: what their ``step`` computes, by few and cheap operations.

For one row a step is mostly the calls themselves, and numpy's take a third of torch's time; its tanh of many numbers
is ten times as fast. So sigmoid(z) = (1 + tanh(z / 2)) / 2 is used, the inner factor folded into the weights, where
halving rounds nothing: one tanh for all gates. Tests hold every one to the cell's ``step``. For float32 on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cells.cell import Cell
from cells.gru import GRU
from cells.layer import Layer
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.state import LayerState

Array = NDArray[np.float32]

Step = Callable[[Array, Array, LayerState], LayerState]
"""(projected input [B, G H], recurrent product [B, G H], state) -> the new state; nothing given is changed in place."""

HALF = np.float32(0.5)

QUIETLY = np.errstate(all="ignore")
"""Broken weights and states make NaN, which the logits show; numpy would print a warning to somebody's terminal."""


def array(tensor: Tensor) -> Array:
    """A tensor's numbers, without a copy; those of one that asks for a gradient too."""
    numbers: Array = tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()
    return numbers


def relu(x: Array, out: Array) -> None:
    """max(x, 0) into ``out``."""
    np.maximum(x, 0, out=out)


class RowStep(NamedTuple):
    """A step, and what a layer's weights must be for it.

    ``order`` [G H] are the rows of the recurrent matrix, and of all that makes the projected input, as they are taken;
    ``scale`` [G H] is what they are multiplied with then. ``bias`` [G H] is added to the recurrent product, after that.
    """

    step: Step
    order: Tensor
    scale: Tensor
    bias: Tensor | None = None

    def fold(self, values: Tensor) -> Tensor:
        """A recurrent matrix [G H, H], input weights [G H, I] or a bias [G H] as the step wants them."""
        ordered = values.detach()[self.order]
        return ordered * (self.scale if values.dim() == 1 else self.scale.unsqueeze(1))


def row_step(layer: Layer) -> RowStep | None:
    """The step for this layer; None where the cell's own must do."""
    make = STEPS.get(type(layer.cell))
    if make is None or layer.W.device.type != "cpu" or layer.W.dtype != torch.float32:
        return None
    return make(layer)


def _folding(layer: Layer, step: Step, factors: dict[str, float], bias: Tensor | None = None) -> RowStep:
    """The gates in the order of ``factors``, each multiplied with its own."""
    size = layer.hidden_size
    places = torch.arange(len(layer.gates) * size).view(-1, size)
    order = torch.cat([places[layer.gates.index(gate)] for gate in factors])
    return RowStep(step, order, torch.tensor(list(factors.values())).repeat_interleave(size), bias)


def _rnn(layer: Layer) -> RowStep:
    activation = relu if layer.cell.options["activation"] == "relu" else np.tanh

    @QUIETLY
    def step(x: Array, u: Array, state: LayerState) -> LayerState:
        h = x + u
        activation(h, h)
        return {"h": torch.from_numpy(h)}

    return _folding(layer, step, {"h": 1.0})


def _gru(layer: Layer) -> RowStep:
    size = layer.hidden_size
    bias = torch.cat([torch.zeros(2 * size), layer.p["n"].detach()])  # p_n stands beside its recurrent product

    @QUIETLY
    def step(x: Array, u: Array, state: LayerState) -> LayerState:
        z, n = update_and_candidate(x, u, size)
        h = array(state["h"]) - n
        h *= z
        h += n
        return {"h": torch.from_numpy(h)}  # n + z (h - n)

    return _folding(layer, step, {"r": 0.5, "z": 0.5, "n": 1.0}, bias)


def update_and_candidate(x: Array, u: Array, size: int) -> tuple[Array, Array]:
    """A GRU's z and n [B, H] from what its gates are given, in the order r, z, n."""
    rz = x[:, : 2 * size] + u[:, : 2 * size]
    np.tanh(rz, rz)
    rz *= HALF
    rz += HALF
    n: Array = rz[:, :size] * u[:, 2 * size :]
    n += x[:, 2 * size :]
    np.tanh(n, n)
    return rz[:, size:], n


def _lstm(layer: Layer) -> RowStep:
    size = layer.hidden_size

    @QUIETLY
    def step(x: Array, u: Array, state: LayerState) -> LayerState:
        gates = x + u
        np.tanh(gates, gates)
        added = gates[:, 3 * size :].copy()
        gates *= HALF  # all of it, g too: of many rows a part takes four times as long as the whole
        gates += HALF
        added *= gates[:, :size]  # i g
        c = gates[:, size : 2 * size] * array(state["c"])
        c += added
        h = np.tanh(c)
        h *= gates[:, 2 * size : 3 * size]
        return {"h": torch.from_numpy(h), "c": torch.from_numpy(c)}

    return _folding(layer, step, {"i": 0.5, "f": 0.5, "o": 0.5, "g": 1.0})


STEPS: dict[type[Cell], Callable[[Layer], RowStep]] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
