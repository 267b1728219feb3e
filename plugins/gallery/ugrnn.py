"""Update-gate RNN."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from cells.cell import Cell


class UGRNN(Cell):
    """An RNN with one gate between the old state and the new (Collins, Sohl-Dickstein and Sussillo 2017, section 2.1).

    g = sigmoid(z_g); h' = g h + (1 - g) tanh(z_c), with z = W x + R h + b. The gate's bias starts at 1.
    """

    input = "gc"
    recurrent = {"h": "gc"}
    state = {"h": 0.0}
    bias = {"g": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = x + R.h(s.h)
        c = tanh(z.c)
        return {"h": c + sigmoid(z.g) * (s.h - c)}
