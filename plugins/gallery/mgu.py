"""Minimal gated unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from cells.cell import Cell


class MGU(Cell):
    """GRU with one gate for both reset and update (Zhou, Wu, Zhang and Zhou 2016, equations 6 to 8).

    f = sigmoid(W x + R h + b); n = tanh(W x + R_n (f h) + b); h' = (1 - f) h + f n.
    """

    input = "fn"
    recurrent = {"gate": "f", "candidate": "n"}
    state = {"h": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        f = sigmoid(x.f + R.gate(s.h).f)
        n = tanh(x.n + R.candidate(f * s.h).n)
        return {"h": s.h + f * (n - s.h)}
