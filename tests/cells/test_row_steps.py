"""The steps that decode the built-in cells in place, held to the cells' own, and to leaving what they are given."""

from __future__ import annotations

import pytest
import torch

from cells.bundle import GateBundle, named
from cells.gru import GRU
from cells.layer import Layer
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.row_steps import STEPS, row_step
from cells.stepping import call_step

ROWS, SIZE = 5, 64
CELLS = [RNN(), RNN(activation="relu"), GRU(), LSTM()]


def layer_of(cell):
    layer = Layer(cell, 8, SIZE).requires_grad_(False)
    for value in layer.parameters():
        value.normal_(0, 0.3)
    return layer


def own_step(layer, x, state):
    """The cell's ``step`` with plain products, in float64."""
    layer, state = layer.double(), {name: value.double() for name, value in state.items()}
    shape = (-1, len(layer.gates), SIZE)

    def times(matrix, gates):
        return lambda rows: GateBundle((rows @ matrix.t()).view(shape), gates)

    R = named({name: times(layer.R[name], gates) for name, gates in layer.recurrent_gates.items()})
    return call_step(
        layer.cell, GateBundle(x.double().view(shape), layer.gates), state, R, named(dict(layer.p.items()))
    )


@pytest.mark.parametrize("cell", CELLS, ids=["rnn", "relu", "gru", "lstm"])
def test_a_row_step_is_the_cells_own(cell):
    torch.manual_seed(0)
    layer = layer_of(cell)
    found = row_step(layer)
    state = {name: torch.rand(ROWS, SIZE) - 0.5 for name in cell.state}
    for _ in range(20):
        x = 3 * torch.randn(ROWS, len(layer.gates) * SIZE)
        u = state["h"] @ found.fold(layer.R["h"]).t() + (0 if found.bias is None else found.bias)
        given = [x[:, found.order] * found.scale, u, *state.values()]
        before = [value.clone() for value in given]
        after = found.step(given[0].numpy(), u.numpy(), state)
        assert all(torch.equal(value, was) for value, was in zip(given, before, strict=True))
        expected = own_step(layer_of_same(layer), x, state)
        for name, value in after.items():
            assert torch.allclose(value.double(), expected[name], rtol=1e-5, atol=2e-6), name
        state = {name: value.clamp(-3, 3) for name, value in after.items()}  # a relu network like this would explode


def layer_of_same(layer):
    """A copy, which may change its dtype."""
    copy = Layer(layer.cell, 8, SIZE)
    copy.load_state_dict(layer.state_dict())
    return copy.requires_grad_(False)


def test_every_built_in_cell_has_one_and_no_other():
    assert set(STEPS) == {RNN, GRU, LSTM}

    class Mine(LSTM):
        """Somebody's own equations."""

        def step(self, x, s, R, p):
            return super().step(x, s, R, p)

    assert row_step(Layer(Mine(), 4, 4)) is None
    assert row_step(Layer(LSTM(), 4, 4).double()) is None


@pytest.mark.parametrize("cell", CELLS, ids=["rnn", "relu", "gru", "lstm"])
@pytest.mark.parametrize("value", [3e38, -3e38, float("inf"), float("nan")])
def test_broken_numbers_are_passed_on_without_a_warning(cell, value, recwarn):
    """Numpy's would be printed to somebody's terminal; the logits show that something is wrong."""
    layer = layer_of(cell)
    found = row_step(layer)
    x, u = (torch.full((2, len(layer.gates) * SIZE), value).numpy() for _ in range(2))
    x[1] *= -1
    for state_value in (value, -value, 0.0):
        found.step(x, u, {name: torch.full((2, SIZE), state_value) for name in cell.state})
        found.step(x, -u, {name: torch.full((2, SIZE), state_value) for name in cell.state})
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


@pytest.mark.parametrize("size", [64, 61])
@pytest.mark.parametrize("cell", CELLS, ids=["rnn", "relu", "gru", "lstm"])
def test_a_row_does_not_depend_on_its_company(cell, size):
    """To the last bit, wherever it stands, at odd sizes too: elementwise loops have other code for their ends."""
    layer = Layer(cell, 8, size).requires_grad_(False)
    step = row_step(layer).step
    x, u = (torch.randn(ROWS, len(layer.gates) * size).numpy() for _ in range(2))
    state = {name: torch.randn(ROWS, size) for name in cell.state}
    together = step(x, u, state)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = step(x[one], u[one], {name: value[one] for name, value in state.items()})
        assert all(torch.equal(alone[name], together[name][one]) for name in cell.state)
