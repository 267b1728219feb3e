"""Chat: turns, answers that end, speakers, candidates."""

from __future__ import annotations

import math

import pytest
import torch
from terminal_kit.talk import Talk

from cells.errors import CelloquyError
from checkpoints.dialog import Template
from repl.candidates import LAMBDA, draw_candidates
from repl.chat import SPEAKERS, Chat, likeliest_speakers
from repl.events import Text

pytestmark = pytest.mark.usefixtures("here")
PLAY = Template("{name}:\n", "{name}:\n", "\n\n", "\n", "Romeo", "Juliet")


def listened(chat: Chat, text: str) -> tuple[str, str]:
    """What an answer gives to see, and what of it was left unheard."""
    chat.answer()
    shown = ""
    for place, character in enumerate(text):
        shown += "".join(piece.text if piece.shown is None else piece.shown for piece in chat.listen(Text(character)))
        if not chat.answering:
            return shown, text[place + 1 :]
    return shown + "".join(piece.text for piece in chat.hush()), ""


def test_an_answer_ends_with_the_turn_and_shows_nothing_of_the_end() -> None:
    assert listened(Chat(PLAY), "Ay me!\nWhat?\n\nRomeo:\n") == ("Ay me!\nWhat?\n", "Romeo:\n")
    assert listened(Chat(Template()), "fine\nA: ") == ("fine\n", "A: ")


def test_what_might_begin_the_end_is_held_back_until_it_is_clear() -> None:
    chat = Chat(PLAY)
    chat.answer()
    assert [piece.text for piece in chat.listen(Text("a"))] == ["a"]
    assert chat.listen(Text("\n")) == []
    assert [piece.text for piece in chat.listen(Text("b"))] == ["\n", "b"]


def test_an_answer_that_is_stopped_shows_what_was_held_back() -> None:
    assert listened(Chat(PLAY), "a\n") == ("a\n", "")


def test_pieces_of_several_characters_are_cut_at_the_end_of_the_turn() -> None:
    chat = Chat(Template(end="<end>"))
    chat.answer()
    shown = [*chat.listen(Text("go on")), *chat.listen(Text("!<en")), *chat.listen(Text("d>B"))]
    assert "".join(piece.text for piece in shown if piece.shown is None) == "go on!"
    assert not chat.answering


def test_a_line_is_a_turn_and_the_model_answers_one_turn() -> None:
    talk = Talk("talk", length=300).say("/chat on", "HELLO")
    assert talk.transcript.startswith("A: HELLO\nB: ")
    answer = talk.transcript.removeprefix("A: HELLO\nB: ")
    assert answer.count("\n") == 1
    assert answer.endswith("\n")
    talk.say("MORE")
    assert talk.transcript.startswith(f"A: HELLO\nB: {answer}A: MORE\nB: ")


def test_the_person_sees_names_and_not_the_raw_marks() -> None:
    talk = Talk("talk", length=300).say("/chat on", "/names Ann 'Old Bob'", "HELLO")
    rows = talk.rows()
    assert "Ann: HELLO" in rows
    assert any(row.startswith("Old Bob: ") for row in rows)
    assert "A: HELLO" not in rows


def test_an_answer_that_was_broken_off_gets_its_end_before_the_next_turn() -> None:
    talk = Talk("talk", length=0).say("/chat on").begin("HELLO", 1)
    talk.session.stop()
    stood = talk.transcript
    assert not stood.endswith("\n")
    talk.begin("MORE", 1)
    assert talk.transcript.startswith(f"{stood}\nA: MORE\nB: ")


def test_an_empty_line_goes_on_with_an_answer_that_was_broken_off() -> None:
    whole = Talk("talk", length=300).say("/chat on", "HELLO").transcript
    talk = Talk("talk", length=300).say("/chat on").begin("HELLO", 1)
    talk.session.stop()
    assert talk.say("").transcript == whole


def test_retry_answers_anew() -> None:
    talk = Talk("talk", length=300, seed=None).say("/chat on", "HELLO")
    answers = {talk.transcript}
    for _ in range(5):
        answers.add(talk.say("/retry").transcript)
    assert len(answers) > 1
    assert all(text.startswith("A: HELLO\nB: ") and text.count("\n") <= 2 for text in answers)


def test_chat_off_shows_the_raw_text() -> None:
    talk = Talk("talk", length=300).say("/chat on", "HELLO")
    talk.events.clear()
    talk.say("/chat off")
    assert "A: HELLO" in talk.rows()
    assert not talk.session.chat.on


def test_checkpoints_without_a_template_speak_as_in_a_play() -> None:
    talk = Talk("tiny", length=5).say("/chat on", "What news?")
    assert talk.session.chat.template in SPEAKERS
    template = talk.session.chat.template
    assert talk.transcript.startswith(f"{template.person_mark}What news?{template.end}{template.answer_mark}")


def test_the_way_to_write_a_play_is_the_one_that_the_model_expects() -> None:
    assert likeliest_speakers(lambda text: -float(text.count("JULIET:"))).answer_mark == "JULIET:\n"
    assert likeliest_speakers(lambda text: -float(text.count("Juliet."))).answer_mark == "Juliet.\n"


def test_a_turn_cannot_hold_what_ends_it() -> None:
    assert Template().turn("one\ntwo") == "A: one two\n"
    assert PLAY.turn("one\n\ntwo", answer=True) == "Juliet:\none\ntwo\n\n"


def test_a_template_survives_its_header_and_a_damaged_one_is_refused() -> None:
    assert Template.from_json(PLAY.to_json()) == PLAY
    for damaged in ({"end": ""}, {"end": 3}, {"nonsense": "x"}):
        with pytest.raises(CelloquyError, match="dialogue template"):
            Template.from_json(damaged)


def test_candidates_are_ranked_by_mutual_information() -> None:
    talk = Talk("talk", length=30)
    session = talk.session
    session.writer.feed("A: HELLO\nB: ")
    drawn = draw_candidates(session.writer, session.models.samplers, 6, 30, "\n", "B: ")
    assert len(drawn) == 6
    assert [one.score for one in drawn] == sorted((one.score for one in drawn), reverse=True)
    assert len({one.text for one in drawn}) > 1
    for one in drawn:
        given = nats(talk, "A: HELLO\nB: ", one.tokens)
        alone = nats(talk, "B: ", one.tokens)
        assert one.score == pytest.approx(-given + LAMBDA * alone, abs=1e-3)
        assert one.text.count("\n") <= 1
        assert "\n" not in one.text[:-1]


def nats(talk: Talk, before: str, tokens: list[int]) -> float:
    """The surprise of tokens after a text, step by step."""
    model = talk.session.writer.snapshot().reading.model
    state, pending = model.read_text(before, model.beginning())
    total = 0.0
    for token in tokens:
        logits, state = model.decoder.step(torch.tensor([pending]), state)
        total -= float(logits[0].double().log_softmax(-1)[token])
        pending = token
    assert math.isfinite(total)
    return total


def test_with_candidates_the_best_answer_is_given_and_the_same_seed_gives_it_again() -> None:
    talk = Talk("talk", length=60).say("/chat on", "/candidates 5", "HELLO")
    first = talk.transcript
    assert first.startswith("A: HELLO\nB: ")
    assert talk.say("/retry").transcript == first
    again = Talk("talk", length=60).say("/chat on", "/candidates 5", "HELLO")
    assert again.transcript == first
    assert talk.say("MORE").transcript == again.say("MORE").transcript
