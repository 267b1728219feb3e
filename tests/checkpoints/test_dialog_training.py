"""``--format dialog``: conversations become a text with marked turns, and the checkpoint carries the template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cells.errors import CelloquyError, UsageError
from checkpoints.dialog import Template
from checkpoints.header import read_header


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    path = tmp_path / "talk.jsonl"
    lines = [{"turns": ["How are you?", "Well, and you?", "So so."]}, {"turns": ["Hello", "Hi\nthere"]}] * 20
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_a_checkpoint_of_dialogues_carries_their_template(small_train: Any, dialogues: Path) -> None:
    header = read_header(small_train(dialogues, format="dialog", steps=2))
    assert Template.from_json(header.template or {}) == Template()
    assert set("AB: \n") <= set(header.tokenizer["characters"])
    assert "{" not in header.tokenizer["characters"]


def test_a_checkpoint_of_plain_text_carries_none(small_train: Any) -> None:
    assert read_header(small_train(steps=2)).template is None


def test_a_run_cannot_change_its_format(small_train: Any, dialogues: Path) -> None:
    small_train(dialogues, format="dialog", steps=2)
    with pytest.raises(UsageError, match="format cannot change"):
        small_train(dialogues, format="text", steps=4, resume=True)


def test_a_resumed_run_reads_dialogues_again(small_train: Any, dialogues: Path) -> None:
    small_train(dialogues, format="dialog", steps=2)
    header = read_header(small_train(dialogues, steps=4, resume=True))
    assert header.template is not None


def test_a_line_that_is_no_dialogue_is_named(small_train: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"turns": ["a", "b"]}\n{"turns": ["\\ud800", "b"]}\n', encoding="utf-8")
    with pytest.raises(CelloquyError, match="line 2: not JSON"):
        small_train(path, format="dialog")
    path.write_text('{"turns": ["a", "b"]}\n["a"]\n', encoding="utf-8")
    with pytest.raises(CelloquyError, match="line 2"):
        small_train(path, format="dialog")
