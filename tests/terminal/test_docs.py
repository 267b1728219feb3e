"""The page about the REPL says what the program says: its tables come from the same declarations."""

from __future__ import annotations

from pathlib import Path

from terminal_kit.talk import Talk

from repl.help_pages import FURTHER_KEYS, KEYS, long_list

PAGE = Path(__file__).resolve().parents[2] / "docs" / "repl.md"


def test_the_list_of_commands_in_the_docs_is_that_of_the_program(here: Path) -> None:
    listed = long_list(Talk("tiny").session.commands)
    page = PAGE.read_text(encoding="utf-8")
    assert f"```text\n{listed}\n```" in page, f"docs/repl.md is not in step; its list of commands should be:\n{listed}"


def test_every_key_of_the_help_is_in_the_docs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for key, _ in (*KEYS, *FURTHER_KEYS):
        for one in key.split():
            assert f"**{one}**" in page, one
