"""Affine cells over a whole sequence: what a step does to its state, and the scan from pieces and from token tables."""

from __future__ import annotations

import pytest
import torch
from torch import sigmoid
from torch.nn import functional as F

from cells import scan as scans
from cells.affine import NotFollowed, StandIn, by_differentiation, coefficients
from cells.cell import Cell
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.model import LanguageModel, ModelConfig
from cells.state import detach


class Decaying(Cell):
    """a is constant over time, and has a parameter of its own."""

    input = "h"
    vectors = {"decay": 0.8}
    affine = True

    def step(self, x, s, R, p):
        return {"h": p.decay * s.h + x.h}


class Forgetful(Cell):
    """The new state does not depend on the old one."""

    input = "h"
    affine = True

    def step(self, x, s, R, p):
        return {"h": torch.tanh(x.h)}


class Running(Cell):
    """Adds up one of its gates; a is the number one."""

    input = ("up", "unused")
    affine = True

    def step(self, x, s, R, p):
        return {"h": s.h + x.up}


class Gated(Cell):
    input = "zh"
    vectors = {"k": 0.3}
    affine = True

    def step(self, x, s, R, p):
        return {"h": torch.lerp(s.h, x.h + p.k, sigmoid(x.z))}


class NotToBeFollowed(Cell):
    """Says the same as Gated by ways that the stand-in does not know."""

    input = "zh"
    vectors = {"k": 0.3}
    affine = True

    def step(self, x, s, R, p):
        both = torch.stack([s.h, x.h + p.k])
        z = sigmoid(x.z)
        return {"h": (both * torch.stack([1 - z, z])).sum(0)}


CELLS = [Decaying, Forgetful, Running, Gated, NotToBeFollowed]

STEPS = {
    "gru": lambda s, x, z: (1 - z) * s + z * x,
    "the other way round": lambda s, x, z: s * (1 - z) + x * z,
    "towards": lambda s, x, z: s + z * (x - s),
    "towards, reversed": lambda s, x, z: s - (s - x) * z,
    "numbers": lambda s, x, z: 0.5 * s + 2 * x - 1 + s / 4 - 3 * s * 0.25 + (1 - s) * 2,
    "number first": lambda s, x, z: 1 + (2 - (s - 3)),
    "quotient": lambda s, x, z: (s + x) / (1 + z),
    "negative": lambda s, x, z: -s + x - -s * z,
    "lerp": lambda s, x, z: torch.lerp(s, x, z),
    "lerp, method of a gate": lambda s, x, z: x.lerp(s, z),
    "lerp by the state": lambda s, x, z: torch.lerp(x, z, s),
    "addcmul": lambda s, x, z: torch.addcmul(x, z, s),
    "addcmul of gates": lambda s, x, z: torch.addcmul(s, z, x),
    "functions": lambda s, x, z: torch.add(torch.mul(z, s), torch.sub(x, torch.neg(torch.div(s, 2)))),
    "methods of gates": lambda s, x, z: z.mul(s) + x.sub(s),
    "rsub": lambda s, x, z: torch.rsub(s, x) + torch.rsub(x, s) * z,
    "nothing": lambda s, x, z: s,
    "zero": lambda s, x, z: 0.0 * s + x,
    "no state": lambda s, x, z: x * z,
    "a number": lambda s, x, z: s * 0 + 0.25,
}


@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_does_to_its_state(name):
    """The stand-in finds what differentiation finds, and what values of the step say."""
    torch.manual_seed(0)
    x, z = torch.randn(2, 5, 3, 4, dtype=torch.float64).unbind(0)
    step = STEPS[name]
    a, b = (torch.as_tensor(value, dtype=x.dtype).expand_as(x) for value in coefficients(step(StandIn(), x, z)))
    ((exact,),), (offset,) = by_differentiation(lambda s: (step(s, x, z).expand_as(x),), 1, x)
    torch.testing.assert_close(a, exact, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(b, offset, rtol=1e-14, atol=1e-15)
    s = torch.randn_like(x)
    torch.testing.assert_close(a * s + b, step(s, x, z).expand_as(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        lambda s, x: s * s,
        lambda s, x: torch.tanh(s),
        lambda s, x: x / s,
        lambda s, x: x.clone().add_(s),
        lambda s, x: torch.add(x, s, alpha=2),
        lambda s, x: torch.lerp(s, x, s),
        lambda s, x: torch.where(x > 0, s, x),
        lambda s, x: s * "2",
        lambda s, x: [s],
    ],
    ids=["square", "tanh", "quotient", "in place", "option", "lerp", "where", "text", "list"],
)
def test_what_the_stand_in_does_not_follow_is_refused(step):
    with pytest.raises(NotFollowed):
        coefficients(step(StandIn(), torch.randn(3)))


def by_loop(cell, x, state, dtype=torch.float64):
    """Outputs, last state and gradients of a layer by its steps alone: with a mask the engine takes the loop."""
    torch.manual_seed(1)
    layer = Layer(cell, 3, 4).to(dtype)
    y, last = layer(x, state, mask=torch.ones(x.shape[:2], dtype=torch.bool))
    return layer, y, last


def gradients(layer, y, last, *inputs):
    """Of every parameter and input, of a sum in which each number has a weight of its own."""
    torch.manual_seed(2)
    total = (torch.randn_like(y) * y).sum() + sum((torch.randn_like(end) * end).sum() for end in last.values())
    found = torch.autograd.grad(total, [*layer.parameters(), *inputs], allow_unused=True, materialize_grads=True)
    return dict(zip([name for name, _ in layer.named_parameters()] + ["input"] * len(inputs), found, strict=False))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [1, 3, 4, 11, 100])
def test_pieces_are_what_the_loop_finds(cell, steps, monkeypatch):
    monkeypatch.setattr(scans, "piece_length", lambda elements, device: steps)
    torch.manual_seed(0)
    x = torch.randn(11, 2, 3, dtype=torch.float64, requires_grad=True)
    state = {"h": torch.randn(2, 4, dtype=torch.float64, requires_grad=True)}
    layer, y, last = by_loop(cell(), x, state)
    scanned, end = layer(x, state)
    torch.testing.assert_close(scanned, y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end["h"], last["h"], rtol=1e-12, atol=1e-12)
    expected = gradients(layer, y, last, x, state["h"])
    found = gradients(layer, scanned, end, x, state["h"])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [1, 3, 11, 100])
def test_a_token_table_is_what_the_loop_finds(cell, steps, monkeypatch):
    monkeypatch.setattr(scans, "piece_length", lambda elements, device: steps)
    torch.manual_seed(0)
    layer = Layer(cell(), 3, 4).double()
    tokens = torch.randint(0, 6, (11, 2))
    assert tokens.unique().numel() < 7
    table = torch.randn(7, 4 * len(layer.gates), dtype=torch.float64, requires_grad=True)
    state = {"h": torch.randn(2, 4, dtype=torch.float64, requires_grad=True)}
    y, last = layer.run(F.embedding(tokens, table), state, mask=torch.ones(11, 2, dtype=torch.bool))
    scanned, end = layer.run_tokens(table, tokens, state)
    torch.testing.assert_close(scanned, y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end["h"], last["h"], rtol=1e-12, atol=1e-12)
    expected = gradients(layer, y, last, table, state["h"])
    found = gradients(layer, scanned, end, table, state["h"])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("labels", [0, 2])
@pytest.mark.parametrize("vocabulary", [9, 500])
def test_a_model_of_an_affine_cell_learns_what_its_steps_say(layers, labels, vocabulary):
    """By tables where they are small, else by gathered rows; with labels; carried on from one piece to the next."""
    torch.manual_seed(0)
    extra = {"labels": labels, "label_size": 3} if labels else {}
    model = LanguageModel(Gated(), ModelConfig(vocabulary, 8, num_layers=layers, **extra)).double()
    tokens = torch.randint(0, vocabulary * max(1, labels), (12, 3))
    results = []
    for affine in (True, False):
        for layer in model.recurrent_layers:
            layer.cell.affine = affine
        model.zero_grad()
        first, state = model(tokens[:5])
        second, _ = model(tokens[5:], detach(state))
        (first.square().mean() + second.square().mean()).backward()
        results.append([first, second, *(value.grad.clone() for value in model.parameters())])
    for scanned, stepped in zip(*results, strict=True):
        torch.testing.assert_close(scanned, stepped, rtol=1e-10, atol=1e-12)


def test_each_token_s_step_is_worked_out_once():
    """A token table is small; the gates of all steps are nowhere."""
    asked = []

    class Watched(Gated):
        def step(self, x, s, R, p):
            asked.append(x.z.shape)
            return super().step(x, s, R, p)

    model = LanguageModel(Watched(), ModelConfig(7, 4))
    asked.clear()
    logits, _ = model(torch.randint(0, 7, (300, 2)))
    logits.sum().backward()
    assert asked == [(7, 4)]


def test_a_table_with_more_rows_than_tokens_is_gathered():
    layer = Layer(Gated(), 3, 4)
    state = layer.initial_state(2)
    tokens = torch.zeros(3, 2, dtype=torch.int64)
    assert layer.run_tokens(torch.zeros(6, 8), tokens, state) is not None
    assert layer.run_tokens(torch.zeros(7, 8), tokens, state) is None


def test_one_state_for_all_rows():
    """A state [1, H] stands for every row, and its gradient is that of them all."""
    layer = Layer(Gated(), 3, 4).double()
    x = torch.randn(5, 3, 3, dtype=torch.float64)
    one = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    many = one.detach().expand(3, -1).clone().requires_grad_()
    for state in (one, many):
        y, _ = layer(x, {"h": state})
        y.square().sum().backward()
    torch.testing.assert_close(one.grad, many.grad.sum(0, keepdim=True))


class Faulty(Cell):
    input = "h"
    affine = True
    fault = "raise"

    def step(self, x, s, R, p):
        if self.fault == "raise":
            raise ZeroDivisionError("nothing\nto see")
        if self.fault == "shape":
            return {"h": s.h * torch.zeros(2, 1, 1, 4)}
        return {}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", "step raised ZeroDivisionError: nothing"),
        ("shape", "must come back with shape"),
        ("missing", "must return the states h"),
    ],
)
def test_a_faulty_affine_step_is_told_in_one_line(fault, says, monkeypatch):
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises(CelloquyError, match=says) as caught:
        Layer(Faulty(), 3, 4)(torch.zeros(2, 3, 3))
    assert "\n" not in str(caught.value)
    layer = Layer(Faulty(), 3, 4)
    with pytest.raises(CelloquyError, match=says):
        layer.run_tokens(torch.zeros(3, 4), torch.zeros(5, 3, dtype=torch.int64), layer.initial_state(3))


class InPlace(Cell):
    input = "zh"
    affine = True

    def step(self, x, s, R, p):
        return {"h": s.h * x.z.sigmoid_() + x.h}


def test_a_step_that_changes_its_gates_is_refused_and_not_learned_from():
    layer = Layer(InPlace(), 3, 4)
    with pytest.raises(CelloquyError, match="step must leave its gates as they are"):
        layer(torch.randn(5, 2, 3))
    with pytest.raises(CelloquyError, match="step raised RuntimeError"):
        layer.run_tokens(layer.project(torch.randn(3, 3)), torch.zeros(5, 2, dtype=torch.int64), layer.initial_state(2))


def test_scans_run_in_inference_mode():
    layer = Layer(Gated(), 3, 4)
    with torch.inference_mode():
        x = torch.randn(5, 2, 3)
        y, _ = layer(x)
        expected, _ = layer(x, mask=torch.ones(5, 2, dtype=torch.bool))
    torch.testing.assert_close(y, expected)
