"""What the REPL decides, without a terminal: giving lines, going back, knobs, models."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal_kit.talk import Talk

from cells.errors import CelloquyError, UsageError
from repl.events import Text

pytestmark = pytest.mark.usefixtures("here")


def test_a_plain_line_is_continued_for_the_set_length() -> None:
    talk = Talk("tiny", length=30).say("ROMEO:")
    assert talk.transcript.startswith("ROMEO:")
    assert len(talk.transcript) == len("ROMEO:") + 30
    assert talk.written == talk.transcript


def test_an_empty_line_goes_on_from_where_the_text_stands() -> None:
    whole = Talk("tiny", length=40).say("A").transcript
    assert Talk("tiny", length=20).say("A", "").transcript == whole


def test_an_empty_line_begins_a_text_from_nothing() -> None:
    assert len(Talk("tiny", length=20).say("").transcript) == 20


def test_a_second_line_begins_on_a_line_of_its_own_unless_it_begins_with_a_space() -> None:
    talk = Talk("tiny", length=5).say("A")
    stood = talk.transcript
    line = "" if stood.endswith("\n") else "\n"
    assert talk.say("B").transcript.startswith(f"{stood}{line}B")
    stood = talk.transcript
    assert talk.say(" and C").transcript.startswith(f"{stood} and C")


def test_a_line_in_mid_stream_goes_into_the_text_where_it_stands() -> None:
    talk = Talk("tiny", length=30).begin("A", 10)
    stood = talk.transcript
    talk.say("HERE")
    assert talk.transcript.startswith(stood + "HERE")
    assert len(talk.transcript) == len(stood) + 4 + 30


def test_two_slashes_are_a_literal_slash(families: Path) -> None:
    talk = Talk("hostile", length=0)
    talk.begin("//path", 1)
    assert talk.transcript.startswith("/path")


def test_characters_that_the_checkpoint_does_not_know_are_named() -> None:
    talk = Talk("tiny", length=1).say("Zoë")
    assert any("'ë' (U+00EB)" in note and "tiny.lstm" in note for note in talk.notes)


def test_length_zero_goes_on_until_stopped() -> None:
    talk = Talk("tiny", length=0).begin("A", 700)
    assert talk.session.running
    talk.session.stop()
    assert not talk.session.running
    assert len(talk.transcript) == 701


def test_a_stop_keeps_the_text_and_the_model_goes_on_from_it() -> None:
    whole = Talk("tiny", length=40).say("A").transcript
    talk = Talk("tiny", length=40).begin("A", 15)
    talk.session.stop()
    talk.say("/length 25", "")
    assert talk.transcript == whole


def test_pausing_loses_nothing() -> None:
    whole = Talk("tiny", length=40).say("A").transcript
    talk = Talk("tiny", length=40).begin("A", 15)
    talk.session.pause()
    assert not talk.session.running
    assert talk.session.live
    talk.session.pause()
    assert talk.run().transcript == whole


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_knob_turned_in_mid_stream_counts_from_the_very_next_character(cell: str) -> None:
    talk = Talk("tiny", cell, length=0, temperature=1.5).begin("A", 33)
    stood = talk.transcript
    expected = talk.greedy(25)
    talk.session.submit("/temp 0")
    talk.step(25)
    assert talk.transcript == stood + expected


def test_turning_the_temperature_goes_in_steps_of_five_hundredths_and_stops_at_zero() -> None:
    session = Talk("tiny").session
    for _ in range(3):
        session.knobs.turn("temperature", 1)
    assert session.writer.settings["temperature"] == 0.95
    for _ in range(100):
        session.knobs.turn("temperature", -1)
    assert session.writer.settings["temperature"] == 0.0


def test_swapping_the_cell_goes_on_from_the_same_place_in_the_text() -> None:
    talk = Talk("tiny", length=0).begin("A", 20)
    stood = talk.transcript
    talk.session.knobs.turn("cell", 1)
    assert talk.session.writer.name == "tiny.gru"
    reading = Talk("tiny", "gru", length=0)
    reading.session.writer.feed(stood)
    assert talk.greedy(30) == reading.greedy(30)
    assert talk.step(10).transcript.startswith(stood)


def test_an_unknown_cell_lists_those_there_are_and_changes_nothing() -> None:
    talk = Talk("tiny", length=0).begin("A", 5)
    with pytest.raises(CelloquyError, match="rnn, lstm, gru"):
        talk.session.submit("/cell nosuch")
    assert talk.session.writer.name == "tiny.lstm"
    assert talk.session.running


def test_loading_another_checkpoint_lets_it_read_the_text_so_far() -> None:
    talk = Talk("tiny", length=10).say("A")
    stood = talk.transcript
    talk.say("/load talk.gru")
    assert talk.session.writer.name == "talk.gru"
    assert talk.transcript == stood
    talk.say("/load chinese")
    assert any("chinese.lstm does not know 'A'" in note for note in talk.notes)


def test_reset_forgets_the_text_and_keeps_the_knobs() -> None:
    talk = Talk("tiny", length=20).say("A", "/temp 0.5", "/reset")
    assert talk.transcript == ""
    assert talk.session.writer.settings["temperature"] == 0.5
    assert talk.say("A").transcript == Talk("tiny", length=20, temperature=0.5).say("A").transcript


def test_heat_hands_over_the_surprise_of_each_character() -> None:
    talk = Talk("tiny", length=20).say("/heat entropy", "A")
    pieces = [event for event in talk.events if isinstance(event, Text) and not event.given]
    assert all(piece.surprise is not None and piece.surprise >= 0 for piece in pieces)
    assert all(piece.entropy is not None and piece.entropy > 0 for piece in pieces)


def test_a_wrong_value_is_refused_and_nothing_changes() -> None:
    talk = Talk("tiny")
    with pytest.raises(UsageError, match="temperature must be a number of at least 0, not -1"):
        talk.session.submit("/temp -1")
    with pytest.raises(UsageError, match="top-p"):
        talk.session.submit("/top-p 2")
    assert talk.session.writer.settings["temperature"] == 0.8
