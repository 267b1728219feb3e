"""The cures that teaching texts name for vanishing and exploding gradients, as switches on any cell."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.bundle import GateBundle
from cells.cell import Cell
from cells.errors import UsageError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
NORMS = ("none", "layer", "batch")
EPSILON = 1e-5


class PlainRNN(Cell):
    """h' = f(W x + R h + b) with f = tanh, relu or sigmoid: the Elman network with the activations texts compare."""

    input = "h"
    recurrent = {"h": "h"}
    state = {"h": 0.0}

    def __init__(self, activation: str = "tanh") -> None:
        if activation not in ACTIVATIONS:
            raise UsageError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.activation = activation

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step of the Elman network."""
        return {"h": ACTIVATIONS[self.activation](x.h + R.h(s.h).h)}


class Normalised(Cell):
    """Another cell whose projections are normalised inside the recurrence, gate by gate, with unit gain.

    ``layer``: over the units of each gate, W x and R h apart (Ba, Kiros and Hinton 2016, eq. 20). ``batch``: over the
    rows of the batch with their own statistics at every step, as in training (Cooijmans et al. 2016, eq. 6); it
    makes rows depend on each other, so such a cell is for measuring, not for the registry.
    """

    def __init__(self, cell: Cell, norm: str = "layer") -> None:
        if norm not in NORMS[1:]:
            raise UsageError(f"norm must be layer or batch, not {norm!r}")
        self.inner = cell
        self.norm = norm
        self.input, self.recurrent, self.state = cell.input, cell.recurrent, cell.state
        self.bias, self.vectors = cell.bias, cell.vectors
        self.affine = cell.affine and norm == "layer"  # a scan has other rows than those of the batch
        self._options = {**cell.options, "norm": norm}  # a checkpoint could not hold a cell as an option
        self._label = cell.label

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """The inner cell's step over normalised projections."""
        products = {name: self._product(product) for name, product in vars(R).items()}
        return self.inner.step(self._normalise(x), s, SimpleNamespace(**products), p)

    def _product(self, product: Callable[[Tensor], GateBundle]) -> Callable[[Tensor], GateBundle]:
        return lambda rows: self._normalise(product(rows))

    def _normalise(self, gates: GateBundle) -> GateBundle:
        packed = gates._packed  # [B, G, H]
        if self.norm == "layer":
            return GateBundle(F.layer_norm(packed, packed.shape[-1:], eps=EPSILON), gates._names)
        mean = packed.mean(0, keepdim=True)
        spread = (packed.var(0, unbiased=False, keepdim=True) + EPSILON).sqrt()
        return GateBundle((packed - mean) / spread, gates._names)
