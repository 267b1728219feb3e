"""A cell's step watched from inside: gates by name, equations that compute what they say."""

from __future__ import annotations

import math
import re

import pytest
import torch

from cells.bundle import GateBundle, named
from cells.cell import Cell
from cells.layer import Layer
from cells.stepping import call_step
from plugins.registry import load_plugins
from repl.lab.formula import equations, number, value_at
from repl.lab.jacobian import plain_products
from repl.lab.trace import trace_step

CELLS = list(load_plugins().cells)
ROWS, HIDDEN = 3, 5


def situation(cell, seed=0):
    """A layer in float64, and random gates and states for it."""
    torch.manual_seed(seed)
    layer = Layer(cell, 4, HIDDEN).double()
    with torch.no_grad():
        for vector in layer.p.values():
            vector.add_(torch.randn(HIDDEN).double() * 0.3)
    gates = layer.project(torch.randn(ROWS, 4).double()).detach().view(ROWS, -1, HIDDEN)
    state = {name: torch.randn(ROWS, HIDDEN).double() for name in layer.initial_state(1)}
    return layer, gates, state


@pytest.mark.parametrize("name", CELLS)
def test_a_traced_step_is_the_step(registry, name):
    layer, gates, state = situation(registry.create_cell(name))
    p = named(dict(layer.p))
    expected = call_step(layer.cell, GateBundle(gates, layer.gates), state, plain_products(layer), p)
    for hold in (False, True):
        traced = trace_step(layer, gates, state, hold=hold)
        assert list(traced.new) == list(expected)
        for key, node in traced.new.items():
            torch.testing.assert_close(node.value.detach(), expected[key].detach())


@pytest.mark.parametrize("name", CELLS)
def test_every_gate_of_every_registered_cell_is_found(registry, name):
    layer, gates, state = situation(registry.create_cell(name))
    fed = [gate for gates in layer.recurrent_gates.values() for gate in gates]
    assert set(trace_step(layer, gates, state).gates) == {*layer.gates, *fed}


def test_the_gates_of_an_lstm_are_its_gates(registry):
    layer, gates, state = situation(registry.create_cell("lstm"))
    z = gates + (state["h"] @ layer.R["h"].detach().t()).view(ROWS, 4, HIDDEN)
    found = trace_step(layer, gates, state).gates
    for number_, (name, function) in enumerate((("i", "sigmoid"), ("f", "sigmoid"), ("g", "tanh"), ("o", "sigmoid"))):
        assert found[name].function == function
        torch.testing.assert_close(found[name].value, getattr(torch, function)(z[:, number_]))


def test_a_gate_behind_another_gate_keeps_its_own_name(registry):
    """The GRU's candidate contains the reset gate, squashed: it is still the candidate."""
    layer, gates, state = situation(registry.create_cell("gru"))
    found = trace_step(layer, gates, state).gates
    u = (state["h"] @ layer.R["h"].detach().t()).view(ROWS, 3, HIDDEN)
    r = torch.sigmoid(gates[:, 0] + u[:, 0])
    torch.testing.assert_close(found["n"].value, torch.tanh(gates[:, 2] + r * (u[:, 2] + layer.p["n"].detach())))


def test_a_gate_that_nothing_squashes_is_its_projections_sum():
    class Linear(Cell):
        input = "hk"
        recurrent = {"h": "hk"}
        vectors = {"b": 0.5}

        def step(self, x, s, R, p):
            z = x + R.h(s.h)
            return {"h": 0.5 * s.h + (z.h + p.b) * torch.sigmoid(z.k)}

    layer, gates, state = situation(Linear())
    found = trace_step(layer, gates, state).gates["h"]
    u = (state["h"] @ layer.R["h"].detach().t()).view(ROWS, 2, HIDDEN)
    assert found.function == ""
    torch.testing.assert_close(found.value, gates[:, 0] + u[:, 0] + layer.p["b"].detach())


FUNCTIONS = {
    "σ": lambda z: 1 / (1 + math.exp(-z)),
    "logσ": lambda z: -math.log1p(math.exp(-z)),
    "softplus": lambda z: math.log1p(math.exp(z)),
    "relu": lambda z: max(z, 0.0),
    "clamp": lambda z, low, high: min(max(z, low), high),
    "tanh": math.tanh,
    "exp": math.exp,
    "max": max,
    "abs": abs,
}


def evaluate(text):
    """What an equation's right-hand side in numbers comes to, by Python's own arithmetic."""
    python = text.replace("log σ", "logσ").replace("·", "*").replace("−", "-").replace("^", "**").replace("∞", "1e300")
    return eval(python, {"__builtins__": {}}, FUNCTIONS)


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_of_every_equation_come_to_its_value(registry, name):
    layer, gates, state = situation(registry.create_cell(name), seed=2)
    trace = trace_step(layer, gates, state)
    for unit in range(HIDDEN):
        for equation in equations(trace, 1, unit):
            # three decimals of each number are written; a quotient by a small one loses more
            assert evaluate(equation.numbers) == pytest.approx(equation.value, rel=0.03, abs=0.01), equation.line()


@pytest.mark.parametrize("name", CELLS)
def test_equations_end_with_every_new_state_and_define_before_use(registry, name):
    layer, gates, state = situation(registry.create_cell(name))
    trace = trace_step(layer, gates, state)
    found = equations(trace, 0, 0)
    symbols = [equation.symbol for equation in found]
    assert {f"{state}'" for state in trace.new} <= set(symbols)
    assert len(set(symbols)) == len(symbols)
    for place, equation in enumerate(found):
        used = set(re.findall(r"[a-z]+'", equation.formula))
        assert used <= set(symbols[:place]), equation.line()


def test_the_equations_of_the_lstm_read_like_the_textbook(registry):
    layer, gates, state = situation(registry.create_cell("lstm"))
    formulas = {one.symbol: one.formula for one in equations(trace_step(layer, gates, state), 0, 0)}
    assert formulas == {
        "i": "σ(W_i·x + b_i + R_i·h)",
        "f": "σ(W_f·x + b_f + R_f·h)",
        "g": "tanh(W_g·x + b_g + R_g·h)",
        "o": "σ(W_o·x + b_o + R_o·h)",
        "c'": "f·c + i·g",
        "h'": "o·tanh(c')",
    }


def test_brackets_stand_where_they_are_needed_and_only_there():
    class Brackets(Cell):
        input = "a"
        recurrent = {"h": "a"}

        def step(self, x, s, R, p):
            a = torch.tanh(x.a + R.h(s.h).a)
            return {"h": (a - (s.h - 2)) * -(a + s.h) / (s.h * a) - (1 - a) ** 2}

    layer, gates, state = situation(Brackets())
    (_, last) = equations(trace_step(layer, gates, state), 0, 0)
    assert last.formula == "(a − (h − 2))·(−(a + h))/(h·a) − (1 − a)^2"
    assert evaluate(last.numbers) == pytest.approx(last.value, rel=0.05)


def test_held_gates_let_through_what_the_forget_gate_lets_through(registry):
    layer, gates, state = situation(registry.create_cell("lstm"))
    held = trace_step(layer, gates, state, hold=True)
    (share,) = torch.autograd.grad(held.new["c"].value.sum(), held.old["c"])
    torch.testing.assert_close(share, held.gates["f"].value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-2.0, "−2"), (0.12345, "0.123"), (-0.00123, "−0.00123"), (math.inf, "∞"), (-math.inf, "−∞")],
)
def test_numbers_are_written_for_people(value, text):
    assert number(value) == text
    assert number(math.nan) == "undefined"


def test_a_value_is_read_at_its_place_whatever_its_shape():
    grid = torch.arange(6.0).view(2, 3)
    assert value_at(grid, 1, 2) == 5.0
    assert value_at(grid[:1], 1, 2) == 2.0
    assert value_at(grid[0], 1, 2) == 2.0
    assert value_at(grid[0, 0], 1, 2) == 0.0


def test_a_step_that_fails_is_told_in_one_line_as_ever():
    from cells.errors import CelloquyError

    class Broken(Cell):
        input = "ab"

        def step(self, x, s, R, p):
            return {"h": x.c}

    layer, gates, state = situation(Broken())
    with pytest.raises(CelloquyError, match=r"step raised AttributeError: no gate 'c' here; there are a, b"):
        trace_step(layer, gates, state)
