"""Labelled text that a small model can learn in seconds, and a classifier trained on it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from checkpoints.progress import Reporter
from checkpoints.train import train
from repl.cli import cli

GOOD, BAD = ("good", "great", "lovely", "fine"), ("bad", "awful", "dull", "poor")
PLAIN = ("the", "film", "was", "a", "plot", "with", "some", "actors", "and", "music")
SMALL: dict[str, Any] = {"hidden": 16, "batch": 8, "threads": "1", "precision": "fp32", "lr": 1e-2, "eval_every": 40}

Train = Callable[..., Path]


def opinions(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Short texts with one telling word each, and their labels."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        words = [draw.choice(PLAIN) for _ in range(draw.randint(1, 8))]
        words.insert(draw.randrange(len(words) + 1), draw.choice(GOOD if number % 2 else BAD))
        rows.append((" ".join(words), "positive" if number % 2 else "negative"))
    return rows


def write_csv(path: Path, rows: Sequence[tuple[str, str]], columns: tuple[str, str] = ("text", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(autouse=True)
def _one_thread_and_a_home_of_its_own(one_thread_and_a_home: None) -> None:
    """For every test here."""


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "reviews.csv", opinions(300))


@pytest.fixture
def classify_train(reviews: Path, tmp_path: Path, messages: io.StringIO) -> Train:
    """Train one small classifier; returns its checkpoint file."""

    def run(paths: Any = None, **options: Any) -> Path:
        settings = {"steps": 80, "name": "opinion", "task": "classify", "cell": "gru", "tokens": "word", **SMALL}
        settings |= {"out": tmp_path / "checkpoints", "reporter": Reporter(messages), **options}
        return train(paths or reviews, **settings)[-1]

    return run


@pytest.fixture(scope="session")
def opinion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained classifier of opinions."""
    folder = tmp_path_factory.mktemp("opinion")
    reviews = write_csv(folder / "reviews.csv", opinions(240))
    silent = Reporter(io.StringIO())
    options = {**SMALL, "steps": 120, "task": "classify", "cell": "gru", "tokens": "word", "bidirectional": True}
    return train(reviews, name="opinion", out=folder / "checkpoints", reporter=silent, **options)[0]


@pytest.fixture
def celloquy() -> Callable[..., Any]:
    """Run a command of the command line; returns click's result, with ``status``."""

    def run(*arguments: Any, input: str | None = None) -> Any:
        done = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=input)
        done.status = done.exit_code
        return done

    return run
