"""``celloquy eval --overlap``: copied passages of what a checkpoint writes, or of a file, and who may be asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("Enter.\n" + TEXT + "Exit.\n", encoding="utf-8")
    (tmp_path / "copy.txt").write_text("zzzz " + TEXT[:42] + " zzzz", encoding="utf-8")
    return tmp_path


def test_a_copied_passage_of_a_file_is_shown_with_its_line(celloquy: Run, files: Path) -> None:
    done = celloquy("eval", "tiny", "copy.txt", "--overlap", "corpus.txt")
    assert (done.status, done.err) == (0, "")
    assert "80.77% of 52 characters" in done.out
    assert "42 characters, line 2: To be, or not to be, that is the question:" in done.out


def test_json_gives_the_same(celloquy: Run, files: Path) -> None:
    found = json.loads(celloquy("eval", "tiny", "copy.txt", "--overlap", "corpus.txt", "--json").out)
    assert (found["characters"], found["copied_characters"], found["minimum"]) == (52, 42, 20)
    assert found["passages"] == [{"characters": 42, "line": 2, "text": TEXT[:42]}]


def test_without_a_file_the_checkpoint_writes_the_text(celloquy: Run, files: Path) -> None:
    arguments = ("eval", "tiny", "--overlap", "corpus.txt", "-n", "1500", "--minimum", "3", "--json")
    first = celloquy(*arguments, "--seed", "5")
    assert first.err == ""
    found = json.loads(first.out)
    assert 1200 < found["characters"] <= 1500  # runs of spaces count as one
    assert all(one["text"] in (files / "corpus.txt").read_text() for one in found["passages"])
    assert celloquy(*arguments, "--seed", "5").out == first.out
    assert celloquy(*arguments).err.startswith("seed ")


def test_nothing_in_common_is_said(celloquy: Run, files: Path) -> None:
    (files / "other.txt").write_text("q" * 100)
    assert "there is none" in celloquy("eval", "tiny", "other.txt", "--overlap", "corpus.txt").out


def test_eval_needs_something_to_do(celloquy: Run) -> None:
    done = celloquy("eval", "tiny")
    assert (done.status, done.out) == (2, "")
    assert "--overlap CORPUS" in done.error_line
