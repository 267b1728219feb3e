"""Training on the real corpora that lie beside the repository where it is developed; elsewhere these are skipped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import celloquy
from checkpoints.evaluate import evaluate
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TANG, PLAYS = DATA / "tang.txt", DATA / "tinyshakespeare.txt"


@pytest.mark.skipif(not TANG.exists(), reason="the Tang poems are not here")
def test_chinese_trains_and_writes(tmp_path: Path) -> None:
    """5,390 characters, the unknown one beside them; what is written is Chinese."""
    (path,) = celloquy.train(TANG, name="tang", out=tmp_path, hidden=32, steps=3, batch=16, bptt=32, val=0.01)
    header = read_header(path)
    assert header.model["vocabulary_size"] == 5391
    text = celloquy.load(str(path)).generate("春", length=30, seed=1)
    assert len(text) == 30
    assert sum("\u4e00" <= character <= "\u9fff" for character in text) > 15


@pytest.mark.slow
@pytest.mark.skipif(not PLAYS.exists(), reason="tinyshakespeare is not here")
def test_ninety_seconds_with_default_settings_reach_1_70_and_eval_agrees_with_the_log(tmp_path: Path) -> None:
    """Run by name on a quiet two-core machine: ``pytest -m slow tests/test_corpora.py``."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has a single core")
    (path,) = celloquy.train(PLAYS, name="tiny", cell="lstm", minutes=1.5, out=tmp_path)
    log = (tmp_path / "tiny.lstm.run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    best = min(event["val_loss"] for event in map(json.loads, log) if event["event"] == "eval")
    assert best < 1.70
    text = PLAYS.read_text(encoding="utf-8")
    validation = text[int(len(text) * 0.9) :]
    assert evaluate(load_checkpoint(path), validation)["nats_per_token"] == pytest.approx(best, abs=1e-3)
