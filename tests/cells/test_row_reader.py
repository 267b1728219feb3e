"""Many rows read side by side by the loops of the built-in cells: the same numbers as the model's own."""

from __future__ import annotations

import pytest
import torch

from cells.cell import Cell
from cells.gru import GRU
from cells.labels import with_label
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from cells.row_loops import KEPT
from cells.row_reader import PROJECTED_AT_ONCE, row_reader

CELLS = [RNN(), RNN(activation="relu"), LSTM(), GRU()]
V = 13


def made(cell: Cell, hidden: int = 20, **config: object) -> LanguageModel:
    torch.manual_seed(5)
    model = LanguageModel(cell, ModelConfig(V, hidden, **config)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
        for layer in model.recurrent_layers:
            for vector in layer.p.values():
                vector.normal_()
    return model


def assert_reads_alike(model: LanguageModel, tokens: torch.Tensor, state: object = None) -> None:
    """By the rows' reader, in two pieces, as by autograd's loop over ``step`` in float64."""
    reader = row_reader(model)
    assert reader is not None
    start = model.initial_state(tokens.shape[1]) if state is None else state
    half = len(tokens) // 2
    first, middle = reader(tokens[:half], start)  # type: ignore[arg-type]
    second, end = reader(tokens[half:], middle)
    exact = LanguageModel(model.cell, model.config, kernels=None).double().eval()
    exact.load_state_dict(model.state_dict())
    wide = [{name: value.double() for name, value in layer.items()} for layer in start]  # type: ignore[attr-defined]
    expected, expected_end = exact.hidden(tokens, wide)
    torch.testing.assert_close(torch.cat([first, second]).double(), expected, atol=2e-5, rtol=1e-5)
    for layer, other in zip(end, expected_end, strict=True):
        for name in other:
            torch.testing.assert_close(layer[name].double(), other[name], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.label}-{list(cell.options.values())}")
@pytest.mark.parametrize("rows", [1, 2, 33, 64])
def test_rows_are_read_as_step_says(cell: Cell, rows: int) -> None:
    assert_reads_alike(made(cell), torch.randint(0, V, (41, rows)))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.label}-{list(cell.options.values())}")
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("embedding", [0, 7])
def test_stacks_with_norms_and_residual_paths(cell: Cell, norm: str, residual: bool, embedding: int) -> None:
    model = made(cell, num_layers=3, norm=norm, residual=residual, embedding_size=embedding)
    assert_reads_alike(model, torch.randint(0, V, (18, 5)))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.label}-{list(cell.options.values())}")
def test_weights_stored_in_bfloat16_are_read_alike(cell: Cell) -> None:
    """Their products are others (``cells.half``), with the same biases."""
    model = made(cell, num_layers=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    assert_reads_alike(model, torch.randint(0, V, (20, 3)))


@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_projected_a_piece_at_a_time_joins_without_a_seam(layers: int) -> None:
    model = made(LSTM(), hidden=256, num_layers=layers)
    assert PROJECTED_AT_ONCE // (40 * 4 * 256) < 8
    assert_reads_alike(model, torch.randint(0, V, (17, 40)))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.label}-{list(cell.options.values())}")
def test_labels_of_the_stream_and_of_the_tokens_steer(cell: Cell) -> None:
    model = made(cell, labels=3, label_size=4, num_layers=2)
    tokens = torch.randint(0, V, (12, 4))
    assert_reads_alike(model, tokens, with_label(model.initial_state(4), torch.tensor([0.2, 0.5, 0.3])))
    assert_reads_alike(model, tokens + V * torch.randint(0, 4, (12, 4)))


def test_a_state_that_is_handed_in_is_not_changed() -> None:
    model = made(LSTM())
    reader = row_reader(model)
    assert reader is not None
    _, state = reader(torch.randint(0, V, (9, 3)), model.initial_state(3))
    state[0][KEPT] = torch.ones_like(state[0]["c"])
    kept = {name: value.clone() for name, value in state[0].items()}
    reader(torch.randint(0, V, (9, 3)), state)
    assert all(torch.equal(state[0][name], kept[name]) for name in kept)


def test_large_states_saturate_and_stay_numbers() -> None:
    model = made(LSTM())
    state = [{"h": torch.full((2, 20), 0.9), "c": torch.tensor([[1e30] * 20, [-90.0] * 20])}]
    assert_reads_alike(model, torch.randint(0, V, (6, 2)), state)


class Own(LSTM):
    """A cell of somebody's own: its step may say anything."""


@pytest.mark.parametrize("model", [made(Own()), made(LSTM()).double()], ids=["cell", "double"])
def test_other_cells_and_other_numbers_are_left_to_the_model(model: LanguageModel) -> None:
    assert row_reader(model) is None
