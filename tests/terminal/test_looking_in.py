"""Looking into the model from the REPL: gates along the text, one unit while text streams."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from terminal_kit.families import CELLS, LETTERS, save_cell
from terminal_kit.talk import Talk

from cells.errors import CelloquyError, UsageError
from checkpoints.tokenizers import CharTokenizer
from repl.events import Drawing, Text
from repl.lab.draw.picture import HeatMap, Picture
from repl.neuron import Neuron, neuron_legend, neuron_style, round_up
from repl.page import Page

pytestmark = pytest.mark.usefixtures("here")


def drawing(talk: Talk, columns: int = 80) -> Picture:
    """The last picture that was drawn."""
    return next(event for event in reversed(talk.events) if isinstance(event, Drawing)).draw(columns)


def heat_map(talk: Talk, columns: int = 80) -> HeatMap:
    panel = drawing(talk, columns).panels[0]
    assert isinstance(panel, HeatMap)
    return panel


def states_along(talk: Talk, text: str) -> list[dict[str, torch.Tensor]]:
    """The last layer's state after each character, read one by one."""
    model = talk.session.writer.snapshot().reading.model
    state, found = model.decoder.initial_state(1), []
    for token in model.tokenizer.encode(text):
        _, state = model.decoder.step(torch.tensor([token]), state)
        found.append({name: value[0] for name, value in state[-1].items()})
    return found


@pytest.mark.parametrize("length", [30, 700])
def test_gates_draws_the_recent_text_with_the_states_as_they_were(length: int) -> None:
    talk = Talk("tiny", "lstm", length=length).say("ROMEO:", "/gates")
    shown = heat_map(talk)
    assert [group.title for group in shown.groups] == [
        "i, input gate (sigmoid)",
        "f, forget gate (sigmoid)",
        "g, candidate (tanh)",
        "o, output gate (sigmoid)",
        "h, state",
        "c, state",
    ]
    assert len(shown.columns) == min(length + 6, 72)
    assert "".join(shown.columns) == talk.transcript[-len(shown.columns) :]
    expected = states_along(talk, talk.transcript)[-len(shown.columns) :]
    for group in shown.groups[-2:]:
        for label, values in zip(group.rows[:-1], group.values, strict=False):
            wanted = [float(state[group.title[0]][int(label)]) for state in expected]
            assert values == pytest.approx(wanted, abs=1e-5)


def test_gates_of_a_given_text_reads_it_from_the_beginning_and_leaves_the_conversation_alone() -> None:
    talk = Talk("tiny", "gru").say("A")
    bits, stood = talk.bits(), talk.transcript
    talk.say("/gates layer=1 To be")
    assert "".join(heat_map(talk).columns) == "To be"
    assert (talk.bits(), talk.transcript) == (bits, stood)
    talk.say("/gates ☃")
    assert "does not know '☃'" in talk.notes[-1]


def test_gates_in_mid_stream_changes_nothing_of_what_follows() -> None:
    talk = Talk("tiny", length=0).begin("A", 77)
    talk.session.submit("/gates")
    assert talk.step(50).transcript == Talk("tiny", length=0).begin("A", 127).transcript


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_gates_fits_the_terminal_and_is_seen_without_colour(columns: int) -> None:
    talk = Talk("chinese", length=200).say("春", "/gates")
    for colour in (True, False):
        page = Page(columns, colour)
        rows = page.take(talk.events)
        text = ["".join(text for _, text in row) for row in rows]
        assert all(sum(1 + (character > "\u2e7f") for character in row) <= columns for row in text)
        assert any(style.startswith("bg:#") for row in rows for style, _ in row) is colour
        assert any("█" in row for row in text) is not colour


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/gates", "there is no text yet"),
        ("/gates layer=3 A", "there is no layer 3"),
        ("/gates layer=x A", "layer must be a whole number"),
        ("/neuron 99", "there is no unit 99: a layer has 16"),
        ("/neuron q 3", "has no state 'q'; there are: h, c"),
        ("/neuron 2 h 3", "there is no layer 2"),
        ("/neuron warm", "takes a unit such as 37"),
        ("/neuron 1 2 3 4", "takes a unit such as 37"),
    ],
)
def test_what_cannot_be_looked_into_is_said_in_a_line(line: str, complaint: str) -> None:
    with pytest.raises(CelloquyError) as error:
        Talk("tiny").session.submit(line)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mixture_is_several_cells_and_cannot_be_looked_into() -> None:
    talk = Talk("tiny").say("/cell lstm+gru", "A")
    for line in ("/gates", "/neuron 3"):
        with pytest.raises(CelloquyError, match="choose one"):
            talk.session.submit(line)


@pytest.mark.parametrize(("cell", "unit"), [("lstm", "5"), ("lstm", "c 5"), ("gru", "1 h 15"), ("rnn", "0")])
def test_neuron_shades_each_character_by_the_state_after_it(cell: str, unit: str) -> None:
    talk = Talk("tiny", cell, length=60).say(f"/neuron {unit}", "A")
    neuron = talk.session.neuron
    assert neuron is not None
    given = [event for event in talk.events if isinstance(event, Text) and not event.given]
    states = states_along(talk, talk.transcript)[1:]
    for piece, state in zip(given, states, strict=True):
        assert piece.shade == pytest.approx(neuron.place(float(state[neuron.state][neuron.unit])), abs=1e-5)
    assert talk.transcript == Talk("tiny", cell, length=60).say("A").transcript


def test_the_scale_of_a_unit_reaches_as_far_as_its_recent_values() -> None:
    talk = Talk("tiny", length=100).say("A", "/neuron c 3")
    largest = max(abs(float(state["c"][3])) for state in states_along(talk, talk.transcript))
    neuron = talk.session.neuron
    assert neuron is not None
    assert neuron.limit == round_up(largest)
    assert talk.notes[-1] == f"neuron c 3, from -{neuron.limit:g} to {neuron.limit:g}"
    assert [round_up(value) for value in (0.013, 0.2, 0.21, 1.0, 7.0)] == [0.02, 0.2, 0.5, 1.0, 10.0]


def test_neuron_goes_off_and_gives_way_to_heat_and_to_a_cell_without_it() -> None:
    talk = Talk("tiny", length=5).say("/heat surprise", "/neuron 3")
    assert talk.session.heat == "off"
    talk.say("/neuron off", "A")
    assert talk.notes[-1] == "neuron off"
    talk.say("/neuron 3", "/heat entropy")
    assert talk.session.neuron is None
    talk.say("/neuron c 3", "/cell gru", "B")
    assert talk.session.neuron is None
    assert "neuron off: tiny.gru has no c 3" in talk.notes
    assert talk.session.commands.find("neuron").complete is not None


def test_the_colours_of_a_unit_have_a_legend_and_a_middle() -> None:
    neuron = Neuron(1, "h", 3, 0.5)
    assert "".join(text for _, text in neuron_legend(neuron)) == "h 3  -0.5 " + " " * 17 + " 0.5"
    assert neuron_style(neuron.place(0.0)) == neuron_style(math.nan) == "class:neuron-8"
    assert neuron_style(neuron.place(-7.0)) == "class:neuron-0"
    assert neuron_style(neuron.place(0.5)) == "class:neuron-16"


def test_the_last_layer_is_meant_unless_another_is_named(here: Path, tmp_path: Path) -> None:
    path = save_cell(tmp_path, "deep", CELLS["lstm"](), "lstm", CharTokenizer(LETTERS), layers=2)
    talk = Talk(str(path), None, length=5).say("/neuron 3")
    assert talk.session.neuron is not None
    assert talk.session.neuron.name == "layer 2 h 3"
    talk.say("/neuron 1 c 4", "A", "/gates layer=1")
    assert talk.session.neuron.name == "c 4"
    assert "layer 1" in drawing(talk).title
    talk.say("/gates")
    assert "layer 2" in drawing(talk).title
    with pytest.raises(UsageError, match="there is no layer 3"):
        talk.session.submit("/gates layer=3")
