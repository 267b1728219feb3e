"""Undo, retry, marks: after going back it is as if nothing had happened in between, to the last bit."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from terminal_kit.talk import Talk

from cells.errors import CelloquyError

pytestmark = pytest.mark.usefixtures("here")


def test_undo_takes_back_the_last_turn_exactly() -> None:
    talk = Talk("tiny").say("A")
    stood, bits = talk.transcript, talk.bits()
    talk.say("B", "/undo")
    assert talk.transcript == stood
    assert talk.bits() == bits
    assert talk.say("B").transcript == Talk("tiny").say("A", "B").transcript


def test_undo_of_a_continuation_takes_back_only_that() -> None:
    talk = Talk("tiny").say("A")
    stood = talk.transcript
    talk.say("", "/undo")
    assert talk.transcript == stood
    talk.say("/undo")
    assert talk.transcript == ""
    with pytest.raises(CelloquyError, match="no turn to take back"):
        talk.session.submit("/undo")


@given(back=st.integers(0, 220), cell=st.sampled_from(["lstm", "gru", "rnn"]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_of_any_number_of_characters_stands_where_the_text_once_stood(back: int, cell: str) -> None:
    talk = Talk("tiny", cell, length=200).say("ROMEO:")
    talk.say(f"/undo {back}")
    kept = 206 - back
    assert len(talk.transcript) == max(0, kept)
    if kept >= 6:
        fresh = Talk("tiny", cell, length=0).begin("ROMEO:", kept - 6)
        assert talk.bits() == fresh.bits()
        fresh.session.stop()
        talk.say("/length 30", "")
        assert talk.transcript == fresh.say("/length 30", "").transcript


def test_undo_in_mid_stream_stops_first() -> None:
    talk = Talk("tiny", length=0).begin("A", 50)
    talk.session.submit("/undo 10")
    assert not talk.session.running
    assert len(talk.transcript) == 41


def test_retry_with_a_seed_of_ones_own_gives_the_same_text() -> None:
    talk = Talk("tiny", seed=5).say("A", "B")
    first = talk.transcript
    assert talk.say("/retry").transcript == first


def test_retry_with_a_random_seed_gives_another_text_after_the_same_prompt() -> None:
    talk = Talk("tiny", seed=None).say("A", "B")
    first = talk.transcript
    place = first.index("B", 41)
    talk.say("/retry")
    assert talk.transcript[: place + 1] == first[: place + 1]
    assert len(talk.transcript) == len(first)
    assert talk.transcript != first


def test_retry_after_turning_a_knob_uses_the_knob_as_it_is_now() -> None:
    talk = Talk("tiny", seed=5).say("A", "/temp 0", "/retry")
    fresh = Talk("tiny", temperature=0).say("A")
    assert talk.transcript == fresh.transcript


def test_a_mark_brings_back_text_state_cell_and_knobs() -> None:
    talk = Talk("tiny").say("A", "/mark here")
    stood, bits = talk.transcript, talk.bits()
    onward = talk.say("").transcript
    talk.say("/temp 1.4", "/cell gru", "B", "/back here")
    assert talk.transcript == stood
    assert talk.bits() == bits
    assert talk.session.writer.name == "tiny.lstm"
    assert talk.session.writer.settings["temperature"] == 0.8
    assert talk.say("").transcript == onward


def test_marks_on_branches_that_were_taken_back_still_work() -> None:
    talk = Talk("tiny").say("A", "/mark a", "B", "/mark b")
    b = talk.transcript
    talk.say("/undo", "C", "/mark c")
    c = talk.transcript
    for name, text in (("b", b), ("c", c), ("a", b[:41]), ("b", b)):
        assert talk.say(f"/back {name}").transcript == text


def test_an_unknown_mark_names_those_there_are() -> None:
    talk = Talk("tiny").say("A", "/mark one", "/mark two")
    with pytest.raises(CelloquyError, match="one, two"):
        talk.session.submit("/back three")


def test_the_same_seed_given_again_writes_the_same_text() -> None:
    talk = Talk("tiny").say("/seed 9", "A", "/reset", "/seed 9", "A")
    assert talk.transcript == Talk("tiny", seed=9).say("A").transcript


def test_a_random_seed_is_shown_and_can_be_given_again() -> None:
    talk = Talk("tiny", seed=None).say("A")
    first = talk.transcript
    talk.say("/seed")
    found = re.search(r"seed (\d+) \(random\)", talk.notes[-1])
    assert found is not None
    assert Talk("tiny", seed=int(found[1])).say("A").transcript == first


def test_marks_share_what_does_not_depend_on_the_place() -> None:
    """Packed weights take as much memory as the checkpoint; a mark shall be a few kilobytes, whatever was loaded."""
    talk = Talk("tiny").say("/cell lstm")
    for number in range(3):
        talk.say("/load tiny", "A", f"/mark one{number}", "/cell lstm+gru*0.5", "B", f"/mark mixed{number}")
    models = {id(mark.place.reading.model) for mark in talk.session.marks.values()}
    assert len(models) == 2
    texts = {}
    for name in talk.session.marks:
        texts[name] = (talk.say(f"/back {name}").transcript, talk.bits())
    assert len({text for text, _ in texts.values()}) == 6
    for name, (text, bits) in texts.items():
        assert (talk.say(f"/back {name}").transcript, talk.bits()) == (text, bits)
