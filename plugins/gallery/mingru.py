"""minGRU."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.cell import Cell


class MinGRU(Cell):
    """GRU whose gate and candidate see the input alone, so that time is a scan (Feng et al. 2024, section 3.1).

    z = sigmoid(W_z x + b_z); h' = (1 - z) h + z (W_h x + b_h). The candidate is linear, as in the paper's main text;
    its log-space variant makes it positive.
    """

    input = "zh"
    state = {"h": 0.0}
    affine = True

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = sigmoid(x.z)
        return {"h": (1 - z) * s.h + z * x.h}
