"""Leaky RNN."""

from __future__ import annotations

from typing import Any

from torch import Tensor, tanh

from cells.cell import Cell
from cells.errors import UsageError


class LeakyRNN(Cell):
    """An RNN of leaky integrators (Jaeger, Lukosevicius, Popovici and Siewert 2007).

    h' = (1 - leak) h + leak tanh(W x + R h + b): equation 1 there with the time constant and the step folded into one
    rate, ``leak``, between 0 and 1; all units share it.
    """

    input = "h"
    recurrent = {"h": "h"}
    state = {"h": 0.0}

    def __init__(self, leak: float = 0.5) -> None:
        if not 0 < leak <= 1:
            raise UsageError(f"leak must be above 0 and at most 1, not {leak}")
        self.leak = leak

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        return {"h": s.h + self.leak * (tanh(x.h + R.h(s.h).h) - s.h)}
