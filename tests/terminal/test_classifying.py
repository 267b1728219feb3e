"""A classifier in the REPL: a bar for each label, while a line is typed and when it is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth
from terminal_kit.families import save_classifier
from terminal_kit.harness import CTRL_C, CTRL_D, ENTER, F2, UP, Terminal

from cells.errors import CelloquyError, UsageError
from checkpoints.labels.classifier import load_classifier
from repl.app import Start, make_session
from repl.bars import bar, bar_rows
from repl.classifying import LONGEST_PREVIEW, ClassifierTalk
from repl.events import Event, Note, Shares
from repl.page import Page

Open = Callable[..., Terminal]


@pytest.fixture
def talk(here: Path) -> ClassifierTalk:
    """A conversation with ``mood``; what it tells is in ``told``."""
    events: list[Event] = []
    talk = ClassifierTalk(load_classifier("mood"), events.append, load_classifier)
    talk.told = events  # type: ignore[attr-defined]
    return talk


def told(talk: ClassifierTalk) -> list[Event]:
    return list(talk.told)  # type: ignore[attr-defined]


def notes(talk: ClassifierTalk) -> list[str]:
    return [event.text for event in told(talk) if isinstance(event, Note) and event.kind != "echo"]


def test_a_line_is_answered_with_the_share_of_each_label(talk: ClassifierTalk) -> None:
    talk.submit("How now!")
    (found,) = [event for event in told(talk) if isinstance(event, Shares)]
    assert dict(found.shares) == load_classifier("mood").classify("How now!")
    assert sum(share for _, share in found.shares) == pytest.approx(1)
    rows = ["".join(text for _, text in row) for row in Page(60).take(told(talk))]
    assert rows[0] == "How now!"
    assert rows[1].startswith(found.shares[0][0])
    assert [row.split()[-2] for row in rows[1:]] == [f"{100 * share:.1f}" for _, share in found.shares]


def test_what_is_being_typed_is_judged_already_and_a_command_is_not(talk: ClassifierTalk) -> None:
    talk.preview("How n")
    assert dict(talk.shares) == load_classifier("mood").classify("How n")
    talk.preview("/inf")
    assert talk.shares == ()
    talk.preview("a" * (LONGEST_PREVIEW + 1))
    assert talk.shares == ()
    assert told(talk) == []


def test_its_commands_have_help_and_say_what_is_wrong(talk: ClassifierTalk) -> None:
    for line in ("/help", "/help info", "/info", "/load mood"):
        talk.submit(line)
    assert "glad, sad" in notes(talk)[2]
    assert all(f"/{command.name}" in notes(talk)[0] for command in talk.commands)
    with pytest.raises(CelloquyError, match="writes and knows no labels"):
        talk.submit("/load tiny")
    with pytest.raises(UsageError, match="no command /temp"):
        talk.submit("/temp 1")
    with pytest.raises(UsageError, match="needs the name"):
        talk.submit("/load")
    talk.submit("☃//")
    assert "does not know '☃'" in notes(talk)[-1]
    talk.submit("/quit")
    assert talk.leaving


def test_options_of_writing_make_no_sense_with_a_classifier(here: Path) -> None:
    start = Start("mood", settings={"temperature": 1.0}, classifies=True)
    with pytest.raises(UsageError, match="tells labels and writes nothing"):
        make_session(start, lambda event: None)


@given(
    st.lists(st.tuples(st.text(max_size=12), st.floats(0, 1)), min_size=1, max_size=20),
    st.integers(1, 90),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_bars_fit_any_terminal(shares: list[tuple[str, float]], columns: int, unicode: bool) -> None:
    for row in bar_rows(shares, columns, unicode=unicode):
        assert sum(get_cwidth(text) for _, text in row) <= columns


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [bar(share, 4) for share in (0.0, 0.03, 0.5, 0.6, 1.0)] == ["", "▏", "██", "██▍", "████"]
    assert bar(0.5, 4, unicode=False) == "##"


def shares_shown(terminal: Terminal) -> list[float]:
    """The shares below the input line."""
    below = terminal.text.rpartition("›")[2]
    return [float(found) for found in re.findall(r"([\d.]+) %", below)]


def test_bars_stand_below_the_line_as_it_is_typed_and_stay_above_it_when_it_is_given(open_repl: Open) -> None:
    terminal = open_repl("mood")
    assert "Type a text" in terminal.text
    assert "mood.lstm  3 labels  ready" in terminal.status
    terminal.send("How n")
    terminal.wait(lambda: len(shares_shown(terminal)) == 3)
    first = shares_shown(terminal)
    terminal.send("ow!")
    terminal.wait(lambda: len(shares_shown(terminal)) == 3 and shares_shown(terminal) != first)
    terminal.send(UP, F2)  # nothing streams and there are no knobs
    terminal.send(CTRL_C)
    terminal.wait(lambda: shares_shown(terminal) == [])
    terminal.send("How now!", ENTER)
    terminal.wait(lambda: "How now!\n" in terminal.text and terminal.text.count(" %") == 3 and terminal.at_rest)
    terminal.line("/nonsense")
    terminal.wait("there is no command /nonsense")
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    assert terminal.everything.count(" %") == 3


def test_on_a_terminal_that_can_only_print_bars_are_signs(open_repl: Open) -> None:
    terminal = open_repl("mood", TERM="dumb", ready=False)
    terminal.wait("\n>")
    terminal.line("How now!")
    terminal.wait(lambda: terminal.text.count(" %") == 3)
    assert "#" in terminal.text
    terminal.send(CTRL_D)
    assert terminal.leave() == 0


def test_labels_of_strangers_are_shown_and_not_obeyed(here: Path, tmp_path: Path) -> None:
    path = save_classifier(tmp_path, "odd", ["a", "b" * 60])
    found = load_classifier(path).classify("x")
    rows = bar_rows([*found.items(), ("\x1b[2J\u202e", 0.5)], 40)
    assert "␛[2J<202E>" in "".join(text for row in rows for _, text in row)
