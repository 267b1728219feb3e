"""The built-in cells over many rows side by side, without autograd: a few large operations in place a step.

The arithmetic is that of ``cells.row_steps``, whose folding of the weights is used; beyond it a loop writes over what
it has made, and puts the outputs where they are wanted. A test holds every loop to the cell's ``step``. For float32 on
a CPU; ``cells.row_reader`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from cells.cell import Cell
from cells.gru import GRU
from cells.half import half_product
from cells.layer import Layer
from cells.lstm import LSTM
from cells.packed import Product, fixed_product
from cells.rnn import RNN
from cells.row_steps import HALF, QUIETLY, RowStep, relu, row_step, update_and_candidate
from cells.state import LayerState

KEPT = "kept"
"""With this in the state of a layer whose cell state is only multiplied and added to (an LSTM's c), the loop multiplies
it with the share that is kept at each step: of a difference in c, while all else is alike, so much is left."""

PACKED_FOR = 64

Loop = Callable[[Sequence[Tensor], LayerState, Tensor], LayerState]
"""(a projected input [B, G H] for each step, folded as :func:`row_loop` says; state; outputs [T, B, H], to be filled)
-> the state after."""

LoopMaker = Callable[[Layer, Product], Loop]


def row_loop(layer: Layer) -> tuple[Loop, RowStep] | None:
    """A loop over this layer, and what folds that which makes its projected input; None if there is none."""
    make, in_rows = LOOPS.get(type(layer.cell)), row_step(layer)
    if make is None or in_rows is None:
        return None
    matrix = in_rows.fold(layer.R["h"])
    product = half_product(matrix, in_rows.bias) or fixed_product(matrix, PACKED_FOR, in_rows.bias)
    return make(layer, product), in_rows


def _rnn(layer: Layer, product: Product) -> Loop:
    activation = relu if layer.cell.options["activation"] == "relu" else np.tanh

    @QUIETLY
    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h = state["h"]
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            z = product(h).numpy()
            z += x.numpy()
            activation(z, out.numpy())
            h = out
        return {"h": h.clone()}

    return loop


def _gru(layer: Layer, product: Product) -> Loop:
    size = layer.hidden_size

    @QUIETLY
    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h = state["h"]
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            z, n = update_and_candidate(x.numpy(), product(h).numpy(), size)
            new = np.subtract(h.numpy(), n, out.numpy())
            new *= z
            new += n  # n + z (h - n)
            h = out
        return {"h": h.clone()}

    return loop


def _lstm(layer: Layer, product: Product) -> Loop:
    size = layer.hidden_size

    @QUIETLY
    def loop(inputs: Sequence[Tensor], state: LayerState, outputs: Tensor) -> LayerState:
        h, c = state["h"], state["c"].clone().numpy()
        kept = state[KEPT].clone().numpy() if KEPT in state else None
        for x, out in zip(inputs, outputs.unbind(0), strict=True):
            gates = product(h).numpy()
            gates += x.numpy()
            np.tanh(gates, gates)
            added = gates[:, 3 * size :].copy()
            gates *= HALF
            gates += HALF
            added *= gates[:, :size]  # i g
            forget = gates[:, size : 2 * size]
            if kept is not None:
                kept *= forget
            c *= forget
            c += added
            new = np.tanh(c, out.numpy())
            new *= gates[:, 2 * size : 3 * size]
            h = out
        after = {"h": h.clone(), "c": torch.from_numpy(c)}
        return after if kept is None else {**after, KEPT: torch.from_numpy(kept)}

    return loop


LOOPS: dict[type[Cell], LoopMaker] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
