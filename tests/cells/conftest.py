"""Cells to hold the engine to: the built-in three, and some that use the rest of the protocol."""

from __future__ import annotations

import math

import pytest
import torch
from torch import sigmoid, tanh
from torch.nn import functional as F

from cells.cell import Cell
from cells.gru import GRU
from cells.layer import Layer
from cells.lstm import LSTM
from cells.rnn import RNN


class ResetBefore(Cell):
    """The original GRU: two products that depend on each other."""

    input = "rzn"
    recurrent = {"gates": "rz", "candidate": "n"}

    def step(self, x, s, R, p):
        u = R.gates(s.h)
        n = tanh(x.n + R.candidate(sigmoid(x.r + u.r) * s.h).n)
        return {"h": n + sigmoid(x.z + u.z) * (s.h - n)}


class Peephole(Cell):
    input = "ifgo"
    recurrent = {"h": "ifgo"}
    state = {"h": 0.0, "c": 0.0}
    vectors = {"i": 0.1, "f": 0.2, "o": 0.3}

    def step(self, x, s, R, p):
        z = x + R.h(s.h)
        c = sigmoid(z.f + p.f * s.c) * s.c + sigmoid(z.i + p.i * s.c) * tanh(z.g)
        return {"h": sigmoid(z.o + p.o * c) * tanh(c), "c": c}


class Independent(Cell):
    input = "h"
    vectors = {"u": 0.9}

    def step(self, x, s, R, p):
        return {"h": torch.relu(x.h + p.u * s.h)}


class Stabilised(Cell):
    """Exponential gates with a stabiliser that starts at minus infinity."""

    input = ("inp", "forget", "z", "o")
    recurrent = {"h": ("inp", "forget", "z", "o")}
    state = {"h": 0.0, "c": 0.0, "n": 0.0, "m": -math.inf}

    def step(self, x, s, R, p):
        a = x + R.h(s.h)
        kept = F.logsigmoid(a.forget) + s.m
        m = torch.maximum(a.inp, kept)
        i, f = torch.exp(a.inp - m), torch.exp(kept - m)
        c, n = f * s.c + i * tanh(a.z), f * s.n + i
        return {"h": sigmoid(a.o) * c / n.clamp_min(1e-6), "c": c, "n": n, "m": m}


class AffineOne(Cell):
    input = "zh"
    affine = True

    def step(self, x, s, R, p):
        return {"h": s.h + sigmoid(x.z) * (x.h - s.h)}


class AffineTwo(Cell):
    input = "frxu"
    state = {"h": 0.0, "c": 0.0}
    affine = True

    def step(self, x, s, R, p):
        f, r = sigmoid(x.f), sigmoid(x.r)
        c = f * s.c + (1 - f) * x.u
        return {"h": r * c + (1 - r) * x.x, "c": c}


CELLS = {
    "rnn": RNN(),
    "rnn_relu": RNN(activation="relu"),
    "lstm": LSTM(),
    "gru": GRU(),
    "reset_before": ResetBefore(),
    "peephole": Peephole(),
    "independent": Independent(),
    "stabilised": Stabilised(),
    "affine_one": AffineOne(),
    "affine_two": AffineTwo(),
}


@pytest.fixture
def cells():
    """All of them by name."""
    return CELLS


@pytest.fixture(params=list(CELLS))
def cell(request):
    """Every cell in turn."""
    return CELLS[request.param]


@pytest.fixture
def layer(cell):
    """A small float64 layer with every parameter away from its initial value."""
    torch.manual_seed(0)
    made = Layer(cell, 3, 4).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made
