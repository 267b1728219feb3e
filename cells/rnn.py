"""The simple recurrent network (Elman 1990, "Finding structure in time")."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cells.activation import tanh
from cells.cell import Cell
from cells.errors import UsageError

ACTIVATIONS = {"tanh": tanh, "relu": torch.relu}


class RNN(Cell):
    """h' = f(W x + R h + b), f = tanh or relu: the form of ``torch.nn.RNN``."""

    input = "h"
    recurrent = {"h": "h"}
    state = {"h": 0.0}

    def __init__(self, activation: str = "tanh") -> None:
        if activation not in ACTIVATIONS:
            raise UsageError(f"cell rnn: activation must be tanh or relu, not {activation!r}")
        self.activation = activation

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step of the Elman network."""
        return {"h": ACTIVATIONS[self.activation](x.h + R.h(s.h).h)}
