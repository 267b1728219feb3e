"""Affine cells over a whole sequence: what a step does to its state, and the scan from pieces and from token tables."""

from __future__ import annotations

import pytest
import torch
from torch import sigmoid
from torch.nn import functional as F

from cells import scan as scans
from cells.affine import NotFollowed, StandIn, by_differentiation
from cells.cell import Cell
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.model import LanguageModel, ModelConfig
from cells.state import detach
from repl.lab.cures import Normalised


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


class Leaky(Cell):
    """a is a number, and no binary fraction."""

    input = "zh"
    affine = True

    def step(self, x, s, R, p):
        return {"h": 0.9 * s.h + 0.1 * x.h * sigmoid(x.z)}


class Halving(Cell):
    """Hears nothing: a and b are numbers."""

    input = "h"
    affine = True

    def step(self, x, s, R, p):
        return {"h": 0.5 * s.h + 0.25}


class Masked(Cell):
    """Coefficients that are masks, whose sum is none."""

    input = "zh"
    affine = True

    def step(self, x, s, R, p):
        return {"h": s.h * (x.z > 0) * 0.4 + s.h * (x.z > -0.5) * 0.4 + (x.h > 0) + (x.h > 1) + 0 * s.h}


CELLS = [Leaky, Halving, Masked, Decaying, Forgetful, Running, Gated, NotToBeFollowed]

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
    "other names": lambda s, x, z: torch.multiply(s, z) + torch.subtract(x, torch.negative(s)),
    "divide": lambda s, x, z: torch.divide(s, 1 + z * z) + torch.true_divide(s, 4),
    "lerp by a number": lambda s, x, z: torch.lerp(s, x, 0.25),
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
    found = step(StandIn(x.dtype), x, z)
    values = (found.a, found.b) if isinstance(found, StandIn) else (0.0, found)
    a, b = (torch.as_tensor(value, dtype=x.dtype).expand_as(x) for value in values)
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
        lambda s, x: s + (x > 0),
        lambda s, x: s * x.half(),
        lambda s, x: s * x.double(),
        lambda s, x: s if s else x,
        lambda s, x: s + 1 if s == 0 else x,
    ],
    ids=[
        "square",
        "tanh",
        "quotient",
        "in-place",
        "option",
        "lerp",
        "where",
        "text",
        "mask",
        "half",
        "double",
        "truth",
        "equality",
    ],
)
def test_what_the_stand_in_does_not_follow_is_refused(step):
    with pytest.raises(NotFollowed):
        step(StandIn(torch.float32), torch.randn(3))


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
    assert end["h"].untyped_storage().nbytes() < y.untyped_storage().nbytes(), "it would keep all outputs in memory"
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


class Two(Cell):
    """Two states that feed each other."""

    input = "zh"
    state = {"h": 0.0, "c": 0.0}
    affine = True

    def step(self, x, s, R, p):
        c = sigmoid(x.z) * s.c + 0.3 * s.h + x.h
        return {"h": 0.5 * c + 0.2 * s.h, "c": c}


def test_a_model_of_two_states_that_feed_each_other():
    model = LanguageModel(Two(), ModelConfig(5, 8)).double()
    tokens = torch.randint(0, 5, (12, 3))
    scanned, state = model(tokens)
    model.recurrent_layers[0].cell.affine = False
    stepped, last = model(tokens)
    torch.testing.assert_close(scanned, stepped, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "state",
    [{}, {"c": torch.zeros(2, 4)}, *({"h": torch.zeros(size)} for size in [(3, 4), (2, 8), (2, 1), (1, 4), (4,)])],
    ids=["none", "another", "rows", "units", "one unit", "one row", "vector"],
)
def test_a_state_that_does_not_fit_is_told_as_the_loop_tells_it(state):
    layer = Layer(Gated(), 3, 4)
    tokens = torch.zeros(5, 2, dtype=torch.int64)
    assert layer.run_tokens(torch.zeros(3, 8), tokens, state) is None
    found = []
    for mask in (None, torch.ones(5, 2, dtype=torch.bool)):
        with pytest.raises(CelloquyError) as caught:
            layer(torch.zeros(5, 2, 3), state, mask=mask)
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_the_memory_of_a_piece_is_that_of_the_text(monkeypatch):
    """Where a piece may be long, as on a GPU, a short text takes what a short text needs."""
    monkeypatch.setattr(scans, "piece_length", lambda elements, device: 1 << 40)
    layer = Layer(Gated(), 3, 4)
    y, _ = layer(torch.randn(5, 2, 3))
    y.sum().backward()
    tokens = torch.zeros(5, 2, dtype=torch.int64)
    y, _ = layer.run_tokens(layer.project(torch.randn(3, 3)), tokens, layer.initial_state(2))
    y.sum().backward()


@pytest.mark.parametrize("cell", CELLS)
def test_a_scan_stays_on_its_device(cell):
    layer = Layer(cell(), 3, 4).to("meta")
    y, _ = layer(torch.randn(5, 2, 3, device="meta"))
    y.sum().backward()
    assert layer.W.grad is None or layer.W.grad.device.type == "meta"


class Faulty(Cell):
    input = "h"
    affine = True
    fault = "raise"

    def step(self, x, s, R, p):
        if self.fault == "raise":
            raise ZeroDivisionError("nothing\nto see")
        if self.fault == "shape":
            return {"h": s.h * torch.zeros(2, 1, 1, 4)}
        if self.fault == "row":
            return {"h": x.h.mean(-1, keepdim=True)}
        if self.fault == "number":
            return {"h": 0.25}
        if self.fault == "detached":
            return {"h": s.h.detach() * 0.5 + x.h}
        if self.fault == "bent":
            return {"h": torch.tanh(s.h) + x.h}
        return {}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", "step raised ZeroDivisionError: nothing"),
        ("shape", "must come back with shape"),
        ("row", "must come back with shape"),
        ("number", "must come back with shape"),
        ("missing", "must return the states h"),
        ("detached", "affine = True, but step is not affine in its state"),
        ("bent", "affine = True, but step is not affine in its state"),
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


class Clamped(Cell):
    input = "h"
    vectors = {"k": 2.0}
    affine = True

    def step(self, x, s, R, p):
        return {"h": p.k.clamp_(0, 1) * s.h + x.h}


def test_a_step_that_changes_its_gates_is_refused_and_not_learned_from():
    layer = Layer(InPlace(), 3, 4)
    with pytest.raises(CelloquyError, match="step must leave"):
        layer(torch.randn(5, 2, 3))
    layer = Layer(Clamped(), 3, 4)
    with pytest.raises(CelloquyError, match="step must leave"):
        layer(torch.randn(5, 2, 3))
    layer = Layer(InPlace(), 3, 4)
    with pytest.raises(CelloquyError, match="step raised RuntimeError"):
        layer.run_tokens(layer.project(torch.randn(3, 3)), torch.zeros(5, 2, dtype=torch.int64), layer.initial_state(2))


def test_scans_run_in_inference_mode():
    layer = Layer(Gated(), 3, 4)
    with torch.inference_mode():
        x = torch.randn(5, 2, 3)
        y, _ = layer(x)
        expected, _ = layer(x, mask=torch.ones(5, 2, dtype=torch.bool))
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_cure_s_rows_are_those_of_the_batch(norm):
    """What is normalised over the rows of a step must not be scanned, which has the rows of other steps beside them."""
    torch.manual_seed(0)
    layer = Layer(Normalised(Gated(), norm), 3, 4).double()
    x = torch.randn(7, 5, 3, dtype=torch.float64)
    y, _ = layer(x)
    expected, _ = layer(x, mask=torch.ones(7, 5, dtype=torch.bool))
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
