"""minLSTM."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid
from torch.nn.functional import softplus

from cells.cell import Cell


class MinLSTM(Cell):
    """LSTM whose gates see the input alone and sum to one, so that time is a scan (Feng et al. 2024, section 3.2).

    f, i = sigmoid(W x + b); h' = (f h + i (W_h x + b_h)) / (f + i). f / (f + i) is computed as
    sigmoid(log f - log i), which is the same and cannot divide by zero.
    """

    input = "fih"
    state = {"h": 0.0}
    bias = {"f": 1.0}
    affine = True

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        f = sigmoid(softplus(-x.i) - softplus(-x.f))
        return {"h": f * s.h + (1 - f) * x.h}
