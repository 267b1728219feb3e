"""The steps that decode the built-in cells in place, held to the cells' own, and to leaving what they are given."""

from __future__ import annotations

import pytest
import torch

from cells.bundle import GateBundle, named
from cells.gru import GRU
from cells.layer import Layer, call_step
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.row_steps import STEPS, row_step

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
    step, scale, bias = row_step(layer)
    state = {name: torch.rand(ROWS, SIZE) - 0.5 for name in cell.state}
    for _ in range(20):
        x = 3 * torch.randn(ROWS, len(layer.gates) * SIZE)
        u = (state["h"] @ layer.R["h"].t()) * scale + (0 if bias is None else bias)
        given = [x * scale, u, *state.values()]
        before = [value.clone() for value in given]
        found = step(given[0], u, state)
        assert all(torch.equal(value, was) for value, was in zip(given, before, strict=True))
        expected = own_step(layer_of_same(layer), x, state)
        for name, value in found.items():
            assert torch.allclose(value.double(), expected[name], rtol=1e-5, atol=2e-6), name
        state = {name: value.clamp(-3, 3) for name, value in found.items()}  # a relu network like this would explode


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
