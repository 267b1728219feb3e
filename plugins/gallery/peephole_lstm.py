"""Peephole LSTM."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid

from cells.activation import tanh
from cells.cell import Cell


class PeepholeLSTM(Cell):
    """LSTM whose gates see the memory (Gers and Schmidhuber 2000).

    i = sigmoid(z_i + p_i c); f = sigmoid(z_f + p_f c); c' = f c + i tanh(z_g); o = sigmoid(z_o + p_o c');
    h' = o tanh(c'), with z = W x + R h + b. The peepholes are diagonal and the output gate looks at the new memory
    (Gers, Schraudolph and Schmidhuber 2002); the output passes through tanh (Graves 2013).
    """

    input = "ifgo"
    recurrent = {"h": "ifgo"}
    state = {"h": 0.0, "c": 0.0}
    bias = {"f": 1.0}
    vectors = {"i": 0.0, "f": 0.0, "o": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = x + R.h(s.h)
        c = sigmoid(z.f + p.f * s.c) * s.c + sigmoid(z.i + p.i * s.c) * tanh(z.g)
        return {"h": sigmoid(z.o + p.o * c) * tanh(c), "c": c}
