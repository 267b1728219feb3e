"""A small text, and a trained family that several tests read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoints.progress import Reporter
from checkpoints.train import train

VERSE = (
    "The quality of mercy is not strained,\nIt droppeth as the gentle rain from heaven\n"
    "Upon the place beneath. It is twice blest:\nIt blesseth him that gives and him that takes.\n"
)
TEXT = VERSE * 6
SMALL: dict[str, Any] = {
    "hidden": 12,
    "batch": 4,
    "bptt": 16,
    "steps": 60,
    "threads": "1",
    "precision": "fp32",
    "lr": 1e-2,
    "eval_every": 20,
}

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _one_thread_and_a_home_of_its_own(one_thread_and_a_home: None) -> None:
    """For every test here."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "verse.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def small_train(corpus: Path, tmp_path: Path, messages: io.StringIO) -> Train:
    """Train one small model on the verse; returns its checkpoint file."""

    def run(paths: Any = None, **options: Any) -> Path:
        settings = {**SMALL, "name": "tiny", "out": tmp_path / "checkpoints", "reporter": Reporter(messages), **options}
        if {"epochs", "minutes"} & options.keys():
            del settings["steps"]
        return train(paths or corpus, **settings)[-1]

    return run


@pytest.fixture(scope="module")
def tiny_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.rnn, tiny.lstm and tiny.gru."""
    folder = tmp_path_factory.mktemp("family")
    text = folder / "verse.txt"
    text.write_text(TEXT, encoding="utf-8")
    train(text, name="tiny", cell="gru,rnn,lstm", out=folder / "checkpoints", reporter=Reporter(io.StringIO()), **SMALL)
    return folder / "checkpoints"


@pytest.fixture
def events() -> Events:
    """A function: the lines of a checkpoint's log, all or of one kind."""

    def read(checkpoint: Path, kind: str | None = None) -> list[dict[str, Any]]:
        log = checkpoint.with_name(checkpoint.name.removesuffix(".safetensors") + ".run") / "log.jsonl"
        records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [record for record in records if kind in (None, record["event"])]

    return read
