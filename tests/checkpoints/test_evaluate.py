from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.nn import functional as F

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.gru import GRU
from cells.labels import with_label
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from checkpoints import evaluate as scoring
from checkpoints import rows
from checkpoints.evaluate import evaluate, score_tokens, token_losses
from checkpoints.loading import load_checkpoint

VOCABULARY = 11


def model(cell: object = None, **config: Any) -> LanguageModel:
    torch.manual_seed(3)
    made = LanguageModel(cell or LSTM(), ModelConfig(VOCABULARY, 10, **config))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2.0)  # livelier than a fresh model, so that the state matters
    return made


def tokens(length: int, low: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(1).integers(low, VOCABULARY, length, dtype=numpy.int32)


def one_by_one(model: LanguageModel, ids: numpy.ndarray) -> torch.Tensor:
    """The loss of each token after the first, by reading one token after the other."""
    decoder, losses = model.decoder(), []
    state = decoder.initial_state(1)
    for token, following in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True):
        logits, state = decoder.step(torch.tensor([token]), state)
        losses.append(F.cross_entropy(logits, torch.tensor([following])))
    return torch.stack(losses)


@pytest.mark.parametrize("length", [2, 3, 127, 128, 129, 300])
def test_the_score_is_the_mean_surprise_of_reading_one_by_one(length: int) -> None:
    made, ids = model(num_layers=2), tokens(length)
    score = score_tokens(made, ids)
    assert score.tokens == length - 1
    assert score.mean == pytest.approx(float(one_by_one(made, ids).mean()), abs=1e-5)


@pytest.mark.parametrize("cell", [RNN(), LSTM(), GRU()])
def test_rows_side_by_side_score_as_one_unbroken_row(cell: object, monkeypatch: pytest.MonkeyPatch) -> None:
    made, ids = model(cell), tokens(5000)
    side_by_side = score_tokens(made, ids)
    monkeypatch.setattr(rows, "MOST_ROWS", 1)
    assert side_by_side.tokens == 4999
    assert side_by_side.mean == pytest.approx(score_tokens(made, ids).mean, abs=1e-5)


class Own(GRU):
    """A cell of somebody's own, for which there is no fast loop."""


@pytest.mark.parametrize("cell", [RNN(), RNN(activation="relu"), LSTM(), GRU(), Own()], ids=lambda cell: cell.label)
@pytest.mark.parametrize(
    ("length", "config"), [(4097, {}), (2049, {"num_layers": 2, "residual": True, "norm": "layer", "unknown_id": 0})]
)
def test_every_surprise_read_side_by_side_is_that_of_one_unbroken_row(
    cell: Cell, config: dict[str, Any], length: int
) -> None:
    made, ids = model(cell, **config), tokens(length)
    found = torch.from_numpy(token_losses(made, ids))
    with torch.no_grad():
        logits, _ = made.eval()(torch.from_numpy(ids[:-1]).long().unsqueeze(1))
    targets = torch.from_numpy(ids[1:]).long()
    expected = F.cross_entropy(logits[:, 0], targets, ignore_index=config.get("unknown_id", -100), reduction="none")
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0.0)
    assert float((found - expected).abs().mean()) < 1e-5


def test_the_text_goes_on_from_a_state_and_every_row_is_steered_by_its_label() -> None:
    made, ids = model(LSTM(), labels=3, label_size=4), tokens(6000)
    start = with_label(made.initial_state(1), torch.tensor([0.0, 1.0, 0.0]))
    _, start = made.eval()(torch.tensor([[1], [2]]), start)
    logits, _ = made(torch.from_numpy(ids[:-1]).long().unsqueeze(1), start)
    expected = F.cross_entropy(logits[:, 0], torch.from_numpy(ids[1:]).long(), reduction="none").detach()
    found = torch.from_numpy(token_losses(made, ids, start))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0.0)


def test_the_numbers_do_not_depend_on_how_many_threads_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ids = model(GRU()), tokens(20_000)
    monkeypatch.setattr(rows, "thread_choices", lambda: [1])
    alone = token_losses(made, ids)
    monkeypatch.setattr(rows, "thread_choices", lambda: [1, 3])
    before = torch.get_num_threads()
    assert (token_losses(made, ids) == alone).all()
    assert torch.get_num_threads() == before


def test_an_error_in_one_thread_is_the_callers_and_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(GRU())
    monkeypatch.setattr(rows, "thread_choices", lambda: [1, 2])
    monkeypatch.setattr(rows.Rows, "span", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        token_losses(made, tokens(20_000))


def test_a_state_that_forgets_slowly_is_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ids = model(LSTM()), tokens(4500)
    with torch.no_grad():
        made.recurrent_layers[0].b[10:20] += 6.0  # the forget gates: a memory of hundreds of tokens
    side_by_side = score_tokens(made, ids).mean
    monkeypatch.setattr(rows, "MOST_ROWS", 1)
    assert side_by_side == pytest.approx(score_tokens(made, ids).mean, abs=1e-3)


def latch() -> LanguageModel:
    """A unit that keeps the sign of the first token it reads: after token 0 it foretells 1 for ever, after 1 it never
    does."""
    made = LanguageModel(RNN(), ModelConfig(2, 1))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.embedding.weight.copy_(torch.tensor([[2.0], [-2.0]]))
        layer = made.recurrent_layers[0]
        layer.W.fill_(1.0)
        layer.R["h"].fill_(9.0)
        made.readout.weight.copy_(torch.tensor([[-3.0], [3.0]]))
    return made


def test_rows_that_never_find_into_the_text_are_read_again_until_they_begin_as_it_goes() -> None:
    ids = numpy.ones(9 * rows.ROW, dtype=numpy.int32)
    ids[0] = 0
    made = latch()
    assert rows.row_count(len(ids) - 1) > scoring.READINGS + 2
    alone = float(one_by_one(made, ids[:200]).mean())
    assert alone < 0.01
    assert score_tokens(made, ids).mean == pytest.approx(alone, abs=1e-4)
    assert token_losses(made, ids).max() < 0.01


def test_rows_that_never_agree_are_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_WORK", 2)
    ids = numpy.ones(9 * rows.ROW, dtype=numpy.int32)
    ids[0] = 0
    assert 1 < score_tokens(latch(), ids).mean < 6


def test_unknown_tokens_are_read_but_not_counted() -> None:
    made = model(unknown_id=0)
    ids = tokens(400)
    counted = torch.from_numpy(ids[1:] != 0)
    score = score_tokens(made, ids)
    assert score.tokens == int(counted.sum()) < 399
    assert score.nats == pytest.approx(float(one_by_one(made, ids)[counted].sum()), rel=1e-5)


def test_scoring_is_in_float32_and_leaves_the_model_as_it_was() -> None:
    made = model(dropout=0.5).train()
    plain = score_tokens(made, tokens(300)).nats
    made.compute_dtype = torch.bfloat16
    assert score_tokens(made, tokens(300)).nats == plain
    assert made.training
    assert made.compute_dtype == torch.bfloat16


def test_a_large_vocabulary_is_read_in_pieces_to_the_same_score(monkeypatch: pytest.MonkeyPatch) -> None:
    made, ids = model(), tokens(2500)
    whole = score_tokens(made, ids).nats
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", 50)
    assert score_tokens(made, ids).nats == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("ids", [[], [1], [1, 0], [0, 0, 0]])
def test_nothing_to_score_is_an_error(ids: list[int]) -> None:
    with pytest.raises(CelloquyError):
        score_tokens(model(unknown_id=0), numpy.array(ids, dtype=numpy.int32))


def test_bits_and_perplexity_follow_from_the_mean(tiny_family: Path) -> None:
    loaded = load_checkpoint(str(tiny_family / "tiny.gru.safetensors"))
    figures = evaluate(loaded, "The gentle ráin €from heaven")
    assert figures["unknown"] == ["á", "€"]
    assert (figures["tokens"], figures["characters"]) == (25, 28)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_token"]))
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_token"] / math.log(2))
