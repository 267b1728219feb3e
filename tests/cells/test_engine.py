"""What the engine owes every cell, built in or not."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.layer import Layer

T, B, INPUT, H = 6, 3, 3, 4


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(T, B, INPUT, dtype=torch.float64)


@pytest.fixture
def state(layer):
    torch.manual_seed(2)
    return {name: torch.randn(B, H, dtype=torch.float64) * 0.5 for name in layer.initial_state(B)}


def assert_same(left, right, tolerance=1e-12):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=tolerance, atol=tolerance)


def test_every_gradient_passes_gradcheck(layer, x, state):
    names = [name for name, _ in layer.named_parameters()]
    states = list(state)

    def run(x, *rest):
        weights = dict(zip(names, rest[: len(names)], strict=True))
        y, final = functional_call(layer, weights, (x, dict(zip(states, rest[len(names) :], strict=True))))
        return (y, *final.values())

    inputs = [x, *(parameter.detach() for parameter in layer.parameters()), *state.values()]
    assert torch.autograd.gradcheck(run, [value.clone().requires_grad_() for value in inputs])


def test_chunks_equal_the_whole(layer, x, state):
    whole, last = layer(x, state)
    first, middle = layer(x[:2], state)
    second, end = layer(x[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)
    assert_same(end, last)


def test_steps_equal_the_sequence(layer, x):
    whole, last = layer(x)
    state, outputs = layer.initial_state(B), []
    for t in range(T):
        y, state = layer(x[t : t + 1], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs), whole, rtol=1e-12, atol=1e-12)
    assert_same(state, last)


def test_a_row_does_not_depend_on_the_others(layer, x, state):
    whole, last = layer(x, state)
    alone, end = layer(x[:, 1:2], {name: value[1:2] for name, value in state.items()})
    torch.testing.assert_close(alone, whole[:, 1:2], rtol=1e-12, atol=1e-12)
    assert_same(end, {name: value[1:2] for name, value in last.items()})


def test_a_masked_row_keeps_its_state(layer, x, state):
    mask = torch.ones(T, B, dtype=torch.bool)
    mask[3:, 0] = False
    _, last = layer(x, state, mask=mask)
    _, short = layer(x[:3], state)
    _, full = layer(x, state)
    assert_same({name: value[:1] for name, value in last.items()}, {name: value[:1] for name, value in short.items()})
    assert_same({name: value[1:] for name, value in last.items()}, {name: value[1:] for name, value in full.items()})


def test_reverse_is_the_reversed_sequence(layer, x, state):
    y, last = layer(x, state, reverse=True)
    flipped, end = layer(x.flip(0), state)
    torch.testing.assert_close(y, flipped.flip(0))
    assert_same(last, end)


def test_long_sequences_stay_finite(layer):
    x = torch.randn(2000, 1, INPUT, dtype=torch.float64) * 5
    with torch.no_grad():
        if "u" in layer.p:
            layer.p["u"].clamp_(max=1.0)
        if getattr(layer.cell, "activation", "") == "relu":
            layer.R["h"].mul_(0.1)
    y, _ = layer(x)
    y.mean().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


def test_backward_through_a_few_steps_only_gives_their_gradient(layer, x):
    layer(x)[0][1].sum().backward()
    early = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    layer(x[:2])[0][1].sum().backward()
    assert_same(early, {name: parameter.grad for name, parameter in layer.named_parameters()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_products_agree_with_plain_ones(cell, dtype):
    """The machine's packed products, forwards and backwards, against float64 (loosely in bfloat16)."""
    torch.manual_seed(3)
    low = Layer(cell, 16, 32)
    high = Layer(cell, 16, 32).double()
    high.load_state_dict(low.state_dict())
    low.compute_dtype = None if dtype == torch.float32 else dtype
    x = torch.randn(5, 4, 16)
    results = []
    for layer, value in ((low, x), (high, x.double())):
        y, _ = layer(value)
        y.square().mean().backward()
        results.append((y, [parameter.grad for parameter in layer.parameters()]))
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    assert results[0][0].dtype == torch.float32
    torch.testing.assert_close(results[0][0].double(), results[1][0], rtol=tolerance, atol=tolerance)
    for ours, exact in zip(results[0][1], results[1][1], strict=True):
        scale = exact.abs().max().clamp_min(1e-12)
        assert ((ours.double() - exact).abs().max() / scale) < tolerance * 3


class Broken(Cell):
    input = "h"
    recurrent = {"h": "h"}

    def __init__(self, fault: str = "raise"):
        self.fault = fault

    def step(self, x, s, R, p):
        if self.fault == "raise":
            raise ZeroDivisionError("nothing\nto see")
        if self.fault == "shape":
            return {"h": x.h[:, :1]}
        if self.fault == "missing":
            return {}
        return {"h": x.q}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", "step raised ZeroDivisionError: nothing"),
        ("shape", "must come back with shape"),
        ("missing", "must return the states h"),
        ("gate", "no gate 'q' here; there are h"),
    ],
)
def test_a_faulty_step_is_told_in_one_line(fault, says):
    with pytest.raises(CelloquyError, match=says) as caught:
        Layer(Broken(fault), 2, 2)(torch.zeros(1, 1, 2))
    assert "\n" not in str(caught.value)
    assert "Broken" in str(caught.value)


@pytest.mark.parametrize("name", ["affine_one", "affine_two"])
def test_an_affine_cell_is_scanned_in_pieces_that_join(name, cells, monkeypatch):
    torch.manual_seed(0)
    layer = Layer(cells[name], 3, 4).double()
    x = torch.randn(11, 2, 3, dtype=torch.float64)
    whole, last = layer(x)
    monkeypatch.setattr("cells.scan.piece_length", lambda elements, device: 4)
    blocks, end = layer(x)
    torch.testing.assert_close(blocks, whole, rtol=1e-12, atol=1e-12)
    assert_same(end, last)


@pytest.mark.parametrize("name", ["affine_one", "affine_two"])
def test_an_affine_cell_s_scan_equals_its_step(name, cells):
    """With a mask the engine takes the loop: the same numbers and gradients must come out."""
    torch.manual_seed(0)
    layer = Layer(cells[name], 3, 4).double()
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    results = []
    for mask in (None, torch.ones(7, 2, dtype=torch.bool)):
        layer.zero_grad()
        y, last = layer(x, mask=mask)
        (y.square().sum() + sum(value.sum() for value in last.values())).backward()
        results.append((y, last, {key: parameter.grad.clone() for key, parameter in layer.named_parameters()}))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-12)
    assert_same(results[0][1], results[1][1])
    assert_same(results[0][2], results[1][2], 1e-10)
