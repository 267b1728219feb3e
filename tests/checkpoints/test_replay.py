"""The state after a long text, found by rows: that of reading it from its first token to its last."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

from cells.cell import Cell
from cells.gru import GRU
from cells.labels import with_label
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from cells.row_reader import LONG, LONG_FOR_KERNELS, worth_rows
from cells.state import State, clone
from checkpoints import replay, rows
from checkpoints.replay import state_after

V = 11


class Own(GRU):
    """A cell of somebody's own, for which there is no fast loop."""


class Parity(Cell):
    """Changes its sign at some inputs: nothing that was read is ever forgotten."""

    input = "h"
    state = {"h": 1.0}
    recurrent = {"h": "h"}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, torch.Tensor]:
        return {"h": torch.where(x.h > 0.2, -s.h, s.h)}


class Broken(GRU):
    """Says nothing but NaN."""

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, torch.Tensor]:
        return {"h": s.h * float("nan")}


def made(cell: Cell, **config: Any) -> LanguageModel:
    torch.manual_seed(3)
    model = LanguageModel(cell, ModelConfig(V, 12, **config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def counting(**config: Any) -> LanguageModel:
    """An LSTM half of whose units count: they keep all but a thousandth, and add up."""
    model = made(LSTM(), **config)
    with torch.no_grad():
        for layer in model.recurrent_layers:
            layer.R["h"].mul_(0.5)
            for gate, bias in ((0, 1.0), (1, 7.0), (2, 1.5)):
                layer.b[12 * gate : 12 * gate + 6] = bias
            layer.R["h"][12:18] *= 0.2
            layer.W[12:18] *= 0.2
    return model


def tokens(length: int) -> list[int]:
    return numpy.random.default_rng(1).integers(0, V, length).tolist()  # type: ignore[no-any-return]


def one_after_another(model: LanguageModel, ids: list[int], start: State | None = None) -> State:
    decoder = model.decoder()
    return decoder.read(torch.tensor(ids).unsqueeze(1), decoder.initial_state(1) if start is None else start)


def assert_same(found: State, expected: State) -> None:
    assert len(found) == len(expected)
    for layer, other in zip(found, expected, strict=True):
        assert layer.keys() == other.keys()
        for name in other:
            torch.testing.assert_close(layer[name], other[name], atol=1e-4, rtol=1e-5)


@pytest.fixture
def only_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one token after another is no way out."""
    monkeypatch.delattr(replay._Ways, "_one_after_another")


@pytest.mark.usefixtures("only_rows")
@pytest.mark.parametrize("cell", [RNN(), RNN(activation="relu"), LSTM(), GRU(), Own()], ids=lambda cell: cell.label)
@pytest.mark.parametrize(
    ("length", "config"), [(LONG, {}), (5003, {"num_layers": 2, "residual": True, "norm": "layer"})]
)
def test_the_state_is_that_of_reading_one_after_another(cell: Cell, length: int, config: dict[str, Any]) -> None:
    model, ids = made(cell, **config), tokens(length)
    if cell.options.get("activation") == "relu":
        with torch.no_grad():
            model.recurrent_layers[0].R["h"].mul_(0.4)
    assert_same(state_after(model, ids, model.initial_state(1)), one_after_another(model, ids))


@pytest.mark.usefixtures("only_rows")
@pytest.mark.parametrize("layers", [1, 2])
def test_counts_that_are_hardly_forgotten_are_right(layers: int) -> None:
    model, ids = counting(num_layers=layers), tokens(6000)
    expected = one_after_another(model, ids)
    assert float(expected[0]["c"].abs().max()) > 100
    assert_same(state_after(model, ids, model.initial_state(1)), expected)


def test_counts_that_are_heard_of_later_are_not_taken_for_mere_counts() -> None:
    """What the output gate hides most of the time, and then the units hear of it."""
    model = made(LSTM())
    layer = model.recurrent_layers[0]
    with torch.no_grad():
        model.embedding.weight.mul_(0.1)[:, 0] = 0.0
        model.embedding.weight[0, 0] = 1.0
        layer.R["h"].zero_()
        layer.R["h"][24:36].normal_(std=2.0)  # what is heard changes what is added
        layer.b.copy_(torch.tensor([0.0, 6.0, 0.0, -30.0]).repeat_interleave(12))
        layer.W[24:36, 1:].normal_(std=0.2)
        layer.W[36:, 0] = 60.0  # only the token 0 opens the gate
        layer.W[36:, 1:] = 0.0
    ids = [0 if place % 311 == 300 else max(1, token) for place, token in enumerate(tokens(5000))]
    assert_same(state_after(model, ids, model.initial_state(1)), one_after_another(model, ids))


def test_what_is_never_forgotten_is_read_one_after_another() -> None:
    model, ids = made(Parity()), tokens(5000)
    found = state_after(model, ids, model.initial_state(1))
    assert torch.equal(found[0]["h"], one_after_another(model, ids)[0]["h"])
    assert found[0]["h"].min() < 0 < found[0]["h"].max()


def test_a_state_that_is_no_number_ends_the_reading() -> None:
    model = made(Broken())
    assert state_after(model, tokens(LONG), model.initial_state(1))[0]["h"].isnan().all()


@pytest.mark.usefixtures("only_rows")
def test_it_goes_on_from_a_state_and_keeps_the_label_that_steers() -> None:
    model, ids = made(LSTM(), labels=3, label_size=4), tokens(5000)
    start = one_after_another(model, [1, 2, 3], with_label(model.initial_state(1), torch.tensor([0.0, 1.0, 0.5])))
    kept = clone(start)
    assert_same(state_after(model, ids, start), one_after_another(model, ids, start))
    assert [[*map(torch.Tensor.tolist, layer.values())] for layer in start] == [
        [*map(torch.Tensor.tolist, layer.values())] for layer in kept
    ]


@pytest.mark.usefixtures("only_rows")
def test_a_text_of_many_parts_is_read_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "AT_ONCE", 4200)
    model, ids = counting(), tokens(10_000)
    assert_same(state_after(model, ids, model.initial_state(1)), one_after_another(model, ids))


def test_it_is_the_same_to_the_last_bit_whatever_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = counting(), tokens(20_000)
    found = []
    for choices in ([1], [1, 3], [1]):
        monkeypatch.setattr(rows, "thread_choices", lambda choices=choices: choices)
        found.append(state_after(model, ids, model.initial_state(1)))
    for other in found[1:]:
        assert all(torch.equal(found[0][0][name], other[0][name]) for name in ("h", "c"))


def test_short_texts_and_cells_that_scan_are_left_as_they_are() -> None:
    model = made(GRU())
    assert worth_rows(model, LONG)
    assert not worth_rows(model, LONG - 1)
    assert not worth_rows(made(LSTM()), LONG_FOR_KERNELS - 1)
    assert worth_rows(made(LSTM()), LONG_FOR_KERNELS)
    model.cell.affine = True
    assert not worth_rows(model, LONG)
