"""Simple recurrent unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.cell import Cell


class SRU(Cell):
    """A recurrence without matrices, and a highway around it (Lei, Zhang, Wang, Dai and Artzi 2018, section 2).

    f = sigmoid(W_f x + v_f c + b_f); r = sigmoid(W_r x + v_r c + b_r); c' = f c + (1 - f) W x;
    h' = r c' + (1 - r) W_s x. This is the form of the published paper: gates that see the old memory, no activation
    on c'. The skip has its own matrix W_s, as the paper does where the input's size is not the state's.
    """

    input = "frcs"
    state = {"h": 0.0, "c": 0.0}
    bias = {"f": 1.0}
    vectors = {"f": 0.0, "r": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        r = sigmoid(x.r + p.r * s.c)
        c = x.c + sigmoid(x.f + p.f * s.c) * (s.c - x.c)
        return {"h": x.s + r * (c - x.s), "c": c}
