"""What is typed: history on disk, long pastes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_toolkit.document import Document
from prompt_toolkit.layout.controls import BufferControl
from prompt_toolkit.layout.processors import TransformationInput

from repl.history import KEPT, LONGEST_ENTRY, LineHistory
from repl.input_line import ShowHostile
from repl.pastes import LONG, Pastes
from repl.visible import is_hostile

ENTRIES = st.lists(st.text(st.characters(codec=None), min_size=1, max_size=50), max_size=8)


@given(ENTRIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_history_keeps_any_entry_whole(tmp_path_factory: pytest.TempPathFactory, entries: list[str]) -> None:
    path = tmp_path_factory.mktemp("history") / "home" / "history.jsonl"
    for entry in entries:
        LineHistory(path).store_string(entry)
    assert list(LineHistory(path).load_history_strings()) == entries[::-1]
    assert len(path.read_bytes().splitlines() if entries else []) == len(entries)


def test_history_is_for_its_owner_only_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    LineHistory(path).store_string("one\ntwo")
    assert path.stat().st_mode & 0o077 == 0
    with open(path, "ab") as file:
        file.write(b'\xff\xfe\n{"a": 1}\n' + b"[" * 100_000 + b'\n"half')
    assert list(LineHistory(path).load_history_strings()) == ["one\ntwo"]


def test_history_that_cannot_be_written_is_no_hindrance() -> None:
    history = LineHistory(Path("/dev/null/history.jsonl"))
    history.store_string("a")
    assert list(history.load_history_strings()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_the_history_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "history.jsonl")
    history = LineHistory(tmp_path / "history.jsonl")
    history.store_string("a")
    assert list(history.load_history_strings()) == []


def test_huge_entries_are_not_kept(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "history.jsonl")
    history.store_string("x" * (LONGEST_ENTRY + 1))
    assert list(history.load_history_strings()) == []


@pytest.mark.parametrize("kept", [True, False])
def test_history_in_memory_has_a_bound(tmp_path: Path, kept: bool) -> None:
    history = LineHistory(tmp_path / "history.jsonl" if kept else None)
    for number in range(KEPT + 10):
        history.append_string(str(number))
    assert history.get_strings() == [str(number) for number in range(10, KEPT + 10)]
    assert (tmp_path / "history.jsonl").exists() == kept


def test_long_pastes_stand_as_a_token_until_the_line_is_given() -> None:
    pastes = Pastes()
    assert pastes.take("short\r\ntext") == "short\ntext"
    one, two = pastes.take("a" * LONG), pastes.take("b\r" * LONG)
    assert len(one) < 60
    line = f"before {one} between {two}"
    assert pastes.expand(line) == "before " + "a" * LONG + " between " + "b\n" * LONG
    assert pastes.expand(line) == line


@given(st.text(st.characters(codec=None), max_size=20))
def test_what_is_typed_is_shown_visibly_and_every_place_is_found_again(text: str) -> None:
    shown, to_display, to_source = transformed(text)
    assert not any(is_hostile(character) for character in shown)
    for place in range(len(text) + 1):
        assert to_source(to_display(place)) == place
        assert to_display(place) == len("".join(transformed(text[:place])[0]))


def transformed(text: str) -> tuple[str, Callable[[int], int], Callable[[int], int]]:
    """A line as the input line shows it, and how its places correspond."""
    line = TransformationInput(BufferControl(), Document(text), 0, lambda place: place, [("", text)], 80, 1)
    done = ShowHostile().apply_transformation(line)
    return "".join(fragment[1] for fragment in done.fragments), done.source_to_display, done.display_to_source


def test_a_token_that_was_typed_stands_for_nothing() -> None:
    assert Pastes().expand("[pasted text 1: 5,000 characters]") == "[pasted text 1: 5,000 characters]"
