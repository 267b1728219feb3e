"""What a person sees of a training run."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoints import progress
from checkpoints.progress import Reporter, harmless, make_reporter, time_left

ROOT = Path(__file__).parents[2]


def test_plain_progress_has_the_validation_and_no_control_characters(
    small_train: Callable[..., Path], messages: io.StringIO
) -> None:
    small_train(sample_every=30)
    text = messages.getvalue()
    assert "tiny.lstm: " in text
    assert text.count("validation loss") == 4
    assert "bits a character" in text
    assert "sample: " in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_plain_lines_about_training_come_now_and_then(
    small_train: Callable[..., Path], messages: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_train()
    assert "tokens/s" not in messages.getvalue()
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    small_train()
    assert messages.getvalue().count("tokens/s") == 6


def test_nothing_is_written_to_standard_output(
    small_train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_train(reporter=None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "validation loss" in captured.err


def test_without_a_terminal_the_lines_are_plain() -> None:
    assert type(make_reporter()) is Reporter


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "a\rb", "\x9b31m", "\x7f"])
def test_what_a_model_writes_cannot_command_the_terminal(text: str) -> None:
    assert all(c >= " " and not "\x7f" <= c <= "\x9f" for c in harmless(text))
    assert harmless("a\n\tb漢") == "a\n\tb漢"


def test_the_time_left_reads_like_a_clock() -> None:
    assert [time_left(seconds) for seconds in (None, 5, 65, 3725)] == [
        *("", "  0:05 left", "  1:05 left", "  1:02:05 left")
    ]


def test_on_a_terminal_of_80_columns_the_display_shows_losses_speed_time_and_sample(
    corpus: Path, tmp_path: Path
) -> None:
    pyte = pytest.importorskip("pyte")
    options: dict[str, Any] = {"hidden": 12, "batch": 4, "bptt": 16, "threads": "1", "eval_every": 50, "steps": 400}
    options |= {"name": "tiny", "out": str(tmp_path / "out"), "sample_every": 20, "prompt": ["The q"]}
    code = f"from checkpoints.train import train; train({str(corpus)!r}, **{options!r})"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "OMP_NUM_THREADS": "1"},
    )
    os.close(slave)
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    seen: set[str] = set()
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        stream.feed(data)
        shown = "\n".join(screen.display)
        wanted = ("loss ", "validation loss", "tokens/s", "left", "The q")
        seen |= {word for word in wanted if word in shown}
    os.close(master)
    assert process.wait() == 0
    assert seen == {"loss ", "validation loss", "tokens/s", "left", "The q"}
    shown = "\n".join(screen.display)
    assert "tokens/s" not in shown
    assert "tiny.lstm: validation loss" in shown
