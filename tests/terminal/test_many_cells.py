"""Cells side by side, and cells mixed."""

from __future__ import annotations

import pytest
import torch
from terminal_kit.talk import Talk

from cells.errors import CelloquyError, UsageError
from repl.compare_view import columns_as_rows
from repl.events import Table
from repl.mixture import parse_mixture

pytestmark = pytest.mark.usefixtures("here")


def table(talk: Talk) -> Table:
    return next(event for event in reversed(talk.events) if isinstance(event, Table))


def test_every_cell_continues_the_prompt_as_it_would_alone() -> None:
    talk = Talk("tiny", length=25, temperature=0.9).say("/compare ROMEO:")
    assert [column[0] for column in table(talk).columns] == ["rnn", "lstm", "gru"]
    for cell, text, foot in table(talk).columns:
        alone = Talk("tiny", cell, length=25, temperature=0.9).say("ROMEO:").transcript
        assert "ROMEO:" + text == alone
        assert "tok/s" in foot
        assert "bits" in foot


def test_a_comparison_leaves_the_conversation_alone() -> None:
    whole = Talk("tiny").say("A", "").transcript
    talk = Talk("tiny").say("A")
    bits = talk.bits()
    talk.say("/compare B")
    assert talk.bits() == bits
    assert talk.say("").transcript == whole


def test_knobs_turn_for_all_columns_and_stop_keeps_what_is_there() -> None:
    talk = Talk("tiny", length=0).begin("/compare A", 31)
    talk.session.knobs.turn("temperature", 1)
    talk.step(3)
    assert talk.session.comparison is not None
    assert {column.writer.settings["temperature"] for column in talk.session.comparison.columns} == {0.85}
    talk.session.stop()
    assert [len(text) for _, text, _ in table(talk).columns] == [12, 11, 11]
    assert not talk.session.live


def test_a_line_in_the_middle_of_a_comparison_is_refused() -> None:
    talk = Talk("tiny", length=0).begin("/compare A", 3)
    with pytest.raises(CelloquyError, match="Esc ends it"):
        talk.session.submit("B")


def test_one_broken_column_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk("tiny", length=10).begin("/compare A", 4)
    assert talk.session.comparison is not None
    broken = talk.session.comparison.columns[1]

    def fail() -> None:
        raise RuntimeError("the cell fell over")

    monkeypatch.setattr(broken.writer, "step", fail)
    talk.run()
    feet = [foot for _, _, foot in table(talk).columns]
    assert feet[1] == "RuntimeError: the cell fell over"
    assert all("tok/s" in foot for foot in (feet[0], feet[2]))


def test_columns_stand_side_by_side_and_under_each_other_where_it_is_narrow() -> None:
    columns = [("rnn", "one two three four", "5 tok/s"), ("gru", "日本語" * 10, "6 tok/s")]
    wide = ["".join(text for _, text in row) for row in columns_as_rows(columns, 60)]
    assert wide[0].split() == ["rnn", "gru"]
    assert wide[-1].split("  ")[0] == "5 tok/s"
    narrow = ["".join(text for _, text in row) for row in columns_as_rows(columns, 20)]
    assert [row for row in narrow if row.startswith(("rnn", "gru"))] == ["rnn  5 tok/s", "gru  6 tok/s"]
    assert len(columns_as_rows(columns, 60, 4)) <= 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lstm+gru", [("lstm", 1.0), ("gru", 1.0)]),
        ("lstm + gru*0.5", [("lstm", 1.0), ("gru", 0.5)]),
        ("rnn*2+lstm+gru*1e-3", [("rnn", 2.0), ("lstm", 1.0), ("gru", 0.001)]),
    ],
)
def test_mixtures_are_cells_and_weights(text: str, parts: list[tuple[str, float]]) -> None:
    assert parse_mixture(text) == parts


@pytest.mark.parametrize("text", ["lstm+", "+", "lstm*-1", "lstm*nan", "lstm*inf", "lstm*x+gru", "gru+gru"])
def test_what_is_no_mixture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="mixture"):
        parse_mixture(text)


def test_a_mixture_averages_the_logits_by_weight() -> None:
    talk = Talk("tiny").say("A", "/cell lstm+gru*0.5")
    place = talk.session.writer.snapshot()
    mixed, _ = place.reading.model.ahead(place.position)
    parts = []
    for cell in ("lstm", "gru"):
        alone = Talk("tiny", cell)
        alone.session.writer.feed(talk.transcript)
        there = alone.session.writer.snapshot()
        parts.append(torch.from_numpy(there.reading.model.ahead(there.position)[0].copy()))
    expected = (parts[0] + 0.5 * parts[1]) / 1.5
    assert torch.allclose(torch.from_numpy(mixed.copy()), expected, atol=1e-4)
    assert talk.session.writer.name == "tiny.lstm+gru*0.5"


def test_a_mixture_streams_goes_back_and_gives_way_to_a_single_cell() -> None:
    talk = Talk("tiny").say("/cell lstm+gru", "A")
    stood, bits = talk.transcript, talk.bits()
    talk.say("B", "/undo")
    assert (talk.transcript, talk.bits()) == (stood, bits)
    talk.session.knobs.turn("cell", 1)
    assert talk.session.writer.name in ("tiny.rnn", "tiny.lstm", "tiny.gru")
    assert talk.transcript == stood
    assert talk.session.cells() == ["rnn", "lstm", "gru"]
