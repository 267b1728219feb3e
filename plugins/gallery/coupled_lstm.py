"""LSTM with coupled input and forget gates."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.activation import tanh
from cells.cell import Cell


class CoupledLSTM(Cell):
    """LSTM whose input gate is what the forget gate leaves, i = 1 - f (Greff et al. 2017, variant CIFG).

    f, o = sigmoid(z_f, z_o); c' = f c + (1 - f) tanh(z_g); h' = o tanh(c'), with z = W x + R h + b. Greff et al. start
    from the peephole LSTM; this is the form without peepholes.
    """

    input = "fgo"
    recurrent = {"h": "fgo"}
    state = {"h": 0.0, "c": 0.0}
    bias = {"f": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = x + R.h(s.h)
        g = tanh(z.g)
        c = g + sigmoid(z.f) * (s.c - g)
        return {"h": sigmoid(z.o) * tanh(c), "c": c}
