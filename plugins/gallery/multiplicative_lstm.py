"""Multiplicative LSTM."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from cells.cell import Cell


class MultiplicativeLSTM(Cell):
    """LSTM whose state enters through a product that depends on the input (Krause, Lu, Murray and Renals 2016).

    m = (W_m x + b_m) (R_m h); z = W x + R m + b; c' = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g);
    h' = sigmoid(z_o) tanh(c'). The candidate passes through tanh, as in the LSTM here; b_m is this engine's, the paper
    has none.
    """

    input = "ifgom"
    recurrent = {"h": "m", "m": "ifgo"}
    state = {"h": 0.0, "c": 0.0}
    bias = {"f": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        u = R.m(x.m * R.h(s.h).m)
        c = sigmoid(x.f + u.f) * s.c + sigmoid(x.i + u.i) * tanh(x.g + u.g)
        return {"h": sigmoid(x.o + u.o) * tanh(c), "c": c}
