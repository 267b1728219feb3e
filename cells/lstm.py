"""Long short-term memory (Hochreiter and Schmidhuber 1997) with the forget gate of Gers et al. (2000)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.activation import tanh
from cells.cell import Cell


class LSTM(Cell):
    """i, f, o = sigmoid(z_i, z_f, z_o); c' = f c + i tanh(z_g); h' = o tanh(c'), with z = W x + R h + b.

    The gates stand in the order of ``torch.nn.LSTM``. The forget gate's bias starts at 1 (Gers et al. 2000;
    Jozefowicz, Zaremba and Sutskever 2015, section 2.2).
    """

    input = "ifgo"
    recurrent = {"h": "ifgo"}
    state = {"h": 0.0, "c": 0.0}
    bias = {"f": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step of the LSTM."""
        z = x + R.h(s.h)
        c = sigmoid(z.f) * s.c + sigmoid(z.i) * tanh(z.g)
        return {"h": sigmoid(z.o) * tanh(c), "c": c}
