"""What is typed: history on disk, long pastes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repl.history import LONGEST_ENTRY, LineHistory
from repl.pastes import LONG, Pastes

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
        file.write(b'\xff\xfe\n{"a": 1}\n"half')
    assert list(LineHistory(path).load_history_strings()) == ["one\ntwo"]


def test_history_that_cannot_be_written_is_no_hindrance() -> None:
    history = LineHistory(Path("/dev/null/history.jsonl"))
    history.store_string("a")
    assert list(history.load_history_strings()) == []


def test_huge_entries_are_not_kept(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "history.jsonl")
    history.store_string("x" * (LONGEST_ENTRY + 1))
    assert list(history.load_history_strings()) == []


def test_long_pastes_stand_as_a_token_until_the_line_is_given() -> None:
    pastes = Pastes()
    assert pastes.take("short\r\ntext") == "short\ntext"
    one, two = pastes.take("a" * LONG), pastes.take("b\r" * LONG)
    assert len(one) < 60
    line = f"before {one} between {two}"
    assert pastes.expand(line) == "before " + "a" * LONG + " between " + "b\n" * LONG
    assert pastes.expand(line) == line


def test_a_token_that_was_typed_stands_for_nothing() -> None:
    assert Pastes().expand("[pasted text 1: 5,000 characters]") == "[pasted text 1: 5,000 characters]"
