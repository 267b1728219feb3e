"""Independently recurrent network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, relu

from cells.cell import Cell


class IndRNN(Cell):
    """Each unit sees only its own past (Li, Li, Cook, Zhu and Gao 2018, equation 2).

    h' = relu(W x + u h + b). The paper bounds the size of u by gamma^(1/T) for sequences of T steps; here it is
    clamped to 1, the bound for text of any length. u starts at 0.5, where the paper draws it between 0 and 1.
    """

    input = "h"
    state = {"h": 0.0}
    vectors = {"u": 0.5}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        return {"h": relu(x.h + p.u.clamp(-1, 1) * s.h)}
