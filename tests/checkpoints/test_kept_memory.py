"""The trainer keeps freed memory for speed, unless a step is so long that it needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoints import session
from checkpoints.train import train


@pytest.mark.parametrize(("length", "kept"), [(16, True), (4096, False)])
def test_the_trainer_asks_only_for_steps_that_are_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, kept: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(session, "keep_freed_memory", lambda: asked.append(True))
    monkeypatch.setattr(session, "worth_keeping", lambda length, batch, hidden: length * batch * hidden < 4096)
    (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question. " * 200)
    monkeypatch.chdir(tmp_path)
    train(["corpus.txt"], name="tiny", cell="rnn", hidden=8, batch=2, bptt=length, steps=1, threads="1")
    assert bool(asked) is kept
