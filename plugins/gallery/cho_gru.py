"""GRU with the reset gate before the product."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from cells.cell import Cell


class ChoGRU(Cell):
    """GRU as first published: the reset gate acts on the state before the product (Cho et al. 2014, equations 5 to 8).

    r, z = sigmoid(W x + R h + b); n = tanh(W x + R_n (r h) + b); h' = z h + (1 - z) n. The second product waits for
    the first, which the cell ``gru`` (reset after the product) avoids.
    """

    input = "rzn"
    recurrent = {"gates": "rz", "candidate": "n"}
    state = {"h": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        u = R.gates(s.h)
        n = tanh(x.n + R.candidate(sigmoid(x.r + u.r) * s.h).n)
        return {"h": n + sigmoid(x.z + u.z) * (s.h - n)}
