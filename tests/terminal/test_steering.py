"""Labels that steer, in the REPL: set in mid-stream, mixed, shown in the status line, kept in every place."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from terminal_kit.families import LETTERS, save_cell
from terminal_kit.talk import Talk

from cells.errors import UsageError
from cells.gru import GRU
from cells.lstm import LSTM
from checkpoints.tokenizers import CharTokenizer
from repl.completion import SlashCompleter
from repl.status import activity, fit, segments

LABELS = ["glad", "sad", "so so"]


@pytest.fixture(scope="module")
def steered(here: Path) -> str:
    """A family of two cells that three labels steer."""
    folder = here / "steered"
    folder.mkdir()
    for seed, cell in enumerate((LSTM(), GRU())):
        name = type(cell).__name__.lower()
        save_cell(folder, "moody", cell, name, CharTokenizer(LETTERS), seed=seed, labels=LABELS)
    return str(folder / "moody.lstm.safetensors")


def talking(name: str, **more: object) -> Talk:
    return Talk(name, None, **{"length": 0, "temperature": 0.0, **more})  # type: ignore[arg-type]


def status(talk: Talk) -> str:
    return "".join(text for _, text in fit(segments(talk.session, activity(talk.session)), 200))


def test_a_label_steers_from_the_very_next_character_and_stands_in_the_status_line(steered: str) -> None:
    talk = talking(steered).begin("A", 30)
    assert "label" not in status(talk)
    stood = talk.transcript
    talk.session.submit("/label sad")
    assert talk.step(30).transcript.startswith(stood)
    assert "label sad" in status(talk)
    alone = talking(steered).begin("A", 30)
    assert alone.step(30).transcript != talk.transcript
    alone.session.stop()
    bits = talk.bits()
    fresh = talking(steered).begin("A", 30)
    fresh.session.submit("/label sad")
    assert fresh.step(30).bits() == bits


def test_a_mixture_of_labels_and_off(steered: str) -> None:
    talk = talking(steered, length=20).say("/label glad:0.7,so so:0.3", "A")
    assert "label glad:0.7,so so:0.3" in status(talk)
    mixed = talk.transcript
    assert talking(steered, length=20).say("/label so so:3,glad:7", "A").transcript == mixed
    talk.say("/label off")
    assert talk.notes[-1] == "label off"
    assert "label" not in status(talk)
    plain = talking(steered, length=20).say("A").transcript
    assert talk.say("/reset", "A").transcript == plain


def test_the_labels_there_are_complete_and_are_named(steered: str) -> None:
    talk = talking(steered)
    talk.say("/label")
    assert talk.notes[-1] == "label off; labels of moody.lstm: glad, sad, so so"
    completer = SlashCompleter(lambda: talk.session)
    found = [one.text for one in completer.get_completions(Document("/label s"), CompleteEvent())]
    assert found == ["sad", "so so"]
    assert "/label" in talk.session.commands.find("label").usage


@pytest.mark.parametrize("label", ["nosuch", "glad:-1,sad:2", "glad:0.5,glad:0.5"])
def test_what_is_no_label_is_refused_and_the_text_goes_on(steered: str, label: str) -> None:
    talk = talking(steered).begin("A", 5)
    talk.session.submit("/label sad")
    with pytest.raises(UsageError):
        talk.session.submit(f"/label {label}")
    assert talk.session.writer.settings["label"] == "sad"
    assert len(talk.step(5).transcript) == 11


def test_a_model_without_labels_says_so(here: Path) -> None:
    talk = Talk("tiny")
    with pytest.raises(UsageError, match="no labels"):
        talk.session.submit("/label sad")
    talk.say("/label")
    assert talk.notes[-1] == "label off; labels of tiny.lstm: none"
    assert "label" not in [knob.name for knob in talk.session.knobs]


def test_the_label_is_a_knob_that_turns_around(steered: str) -> None:
    session = talking(steered).session
    seen = []
    for _ in range(4):
        session.knobs.turn("label", 1)
        seen.append(session.knobs["label"].value)
    assert seen == [*LABELS, "off"]


def test_the_label_stays_over_a_swap_and_comes_back_with_a_mark_and_a_file(steered: str, tmp_path: Path) -> None:
    talk = talking(steered, length=15).say("/label glad", "A", "/mark here", f"/save {tmp_path / 'kept.json'}")
    bits, stood = talk.bits(), talk.transcript
    onward = talk.say("").transcript
    talk.say("/cell gru", "/label sad", "B")
    assert "label sad" in status(talk)
    talk.say("/back here")
    assert (talk.bits(), talk.transcript) == (bits, stood)
    assert "label glad" in status(talk)
    assert talk.say("").transcript == onward
    again = talking(steered).say(f"/open {tmp_path / 'kept.json'}")
    assert (again.bits(), again.transcript) == (bits, stood)
    assert again.say("").transcript == onward


def test_gates_and_neuron_look_into_a_model_that_labels_steer(steered: str) -> None:
    talk = talking(steered, length=20).say("/label sad", "/neuron 3", "A", "/gates")
    assert talk.session.neuron is not None
    assert talk.transcript == talking(steered, length=20).say("/label sad", "A").transcript


def test_the_strength_of_a_label_is_set_in_mid_stream_and_stands_in_the_status_line(steered: str) -> None:
    talk = talking(steered, length=20).say("/label sad", "A", "/label-strength 2")
    assert "label sad x2" in status(talk)
    talk.say("B", "/label-strength 1")
    assert "label sad" in status(talk)
    assert "x2" not in status(talk)
    plain = talking(steered, length=20).say("/label sad", "A").transcript
    assert talking(steered, length=20).say("/label-strength 4", "/label sad", "A").transcript != plain
