"""JANET: just another network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from cells.cell import Cell


class JANET(Cell):
    """LSTM with nothing but its forget gate (van der Westhuizen and Lasenby 2018, equation 9).

    h' = sigmoid(z_f) h + (1 - sigmoid(z_f - beta)) tanh(z_g), with z = W x + R h + b. ``beta`` lets in a little more
    than is forgotten; the paper's 1 is the default. The forget bias starts at 1, not by the paper's chrono
    initialisation, which needs to know the length of the dependencies.
    """

    input = "fg"
    recurrent = {"h": "fg"}
    state = {"h": 0.0}
    bias = {"f": 1.0}

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = x + R.h(s.h)
        return {"h": sigmoid(z.f) * s.h + sigmoid(self.beta - z.f) * tanh(z.g)}
