"""The gated recurrent unit (Cho et al. 2014) in the form that torch and cuDNN compute."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.activation import tanh
from cells.cell import Cell


class GRU(Cell):
    """r, z = sigmoid; n = tanh(x_n + r (R_n h + p_n)); h' = (1 - z) n + z h.

    The reset gate acts after the recurrent product, so one product serves all three gates; the candidate therefore
    has a second bias, ``p.n``, inside the reset gate's reach (the form of ``torch.nn.GRU``).
    """

    input = "rzn"
    recurrent = {"h": "rzn"}
    state = {"h": 0.0}
    vectors = {"n": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step of the GRU."""
        u = R.h(s.h)
        n = tanh(x.n + sigmoid(x.r + u.r) * (u.n + p.n))
        return {"h": n + sigmoid(x.z + u.z) * (s.h - n)}
