"""sLSTM: the LSTM with exponential gating."""

from __future__ import annotations

from typing import Any

from torch import Tensor, exp, maximum, sigmoid
from torch.nn.functional import logsigmoid

from cells.activation import tanh
from cells.cell import Cell


class SLSTM(Cell):
    """LSTM with an exponential input gate, a normaliser n and a stabiliser m (Beck et al. 2024, equations 8 to 17).

    m' = max(log f + m, z_i); i = exp(z_i - m'); f = exp(log f + m - m'); c' = f c + i tanh(z_g); n' = f n + i;
    h' = sigmoid(z_o) c' / n', with z = W x + R h + b. Of the paper's two forget gates this has the sigmoid, log f =
    logsigmoid(z_f); one head, so that R is dense. m starts at minus infinity: the first step keeps nothing.
    """

    input = "ifgo"
    recurrent = {"h": "ifgo"}
    state = {"h": 0.0, "c": 0.0, "n": 0.0, "m": float("-inf")}
    bias = {"f": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        z = x + R.h(s.h)
        kept = logsigmoid(z.f) + s.m
        m = maximum(kept, z.i)
        i, f = exp(z.i - m), exp(kept - m)
        c, n = f * s.c + i * tanh(z.g), f * s.n + i
        return {"h": sigmoid(z.o) * c / n, "c": c, "n": n, "m": m}
