"""A loss that explodes or is no number, and a corpus that changed: no good checkpoint is ever lost to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

from checkpoints.divergence import Diverged, check_loss
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "out" / "tiny.lstm.run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("at", [1, 9, 10, 19, 20, 30, 47, 60])
def test_weights_that_become_nan_send_the_run_back_with_half_the_learning_rate(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, at: int
) -> None:
    with ledger.attempt(
        "weights become NaN at any step: back to the last good state, the rate halved, a good checkpoint"
    ):
        status, said = nursery.run({**tiny.job(tmp_path), "poison_at": [at]})
        assert status == 0, said
        header = read_header(tmp_path / "out" / "tiny.lstm.safetensors")
        assert math.isfinite(header.figures["val_loss"])
        load_checkpoint(tmp_path / "out" / "tiny.lstm.safetensors")
        events = [record for record in log_of(tmp_path) if record["event"] == "diverged"]
        if at == tiny.STEPS:  # after the last step's loss: the last validation finds it
            assert header.figures["step"] <= tiny.STEPS
        assert len(events) == 1
        assert events[0]["back_to"] < at <= events[0]["step"]
        assert events[0]["lr_scale"] == 0.5
        assert "with half the learning rate" in said
        steps = [record["step"] for record in log_of(tmp_path) if record["event"] == "train"]
        assert steps == list(range(10, tiny.STEPS + 1, 10))


def test_a_run_that_shall_stop_at_nan_stops_and_keeps_its_checkpoint(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt("--on-divergence stop: one line, the good checkpoint untouched, the good state can be resumed"):
        job = tiny.job(tmp_path, on_divergence="stop")
        status, said = nursery.run({**job, "poison_at": [45]})
        assert status == 1, said
        assert said.count("error: ") == 1
        assert "the last good checkpoint is kept" in said
        assert read_header(tmp_path / "out" / "tiny.lstm.safetensors").figures["step"] in (20, 40)
        status, said = nursery.run(tiny.resumed(job))
        assert status == 0, said


def test_a_run_that_always_diverges_gives_up_and_keeps_its_checkpoint(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt("a run that diverges again and again: given up with one line, the good checkpoint untouched"):
        good = tiny.job(tmp_path)
        assert nursery.run(good)[0] == 0
        status, said = nursery.run({**tiny.resumed(tiny.job(tmp_path, steps=300)), "poison_always": True})
        assert status == 1, said
        assert "halved 8 times" in said
        assert read_header(tmp_path / "out" / "tiny.lstm.safetensors").figures["step"] <= 60


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("options", [{"lr": 1e3, "clip": 0.0}, {"lr": 50.0, "optimizer": "sgd", "clip": 0.0}])
def test_an_absurd_learning_rate_never_writes_a_bad_checkpoint(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, cell: str, options: dict[str, Any]
) -> None:
    with ledger.attempt("an absurd learning rate: an end with one line or none, a finite checkpoint"):
        status, said = nursery.run(tiny.job(tmp_path, cell, schedule="constant", **options))
        assert status in (0, 1), said
        assert "Traceback" not in said
        path = tmp_path / "out" / f"tiny.{cell}.safetensors"
        if path.exists():
            assert math.isfinite(read_header(path).figures["val_loss"])
            load_checkpoint(path)


def test_what_counts_as_divergence() -> None:
    check_loss(4.0, 1.0, None, 66, 10)
    check_loss(25.0, 1.0, None, 66, 10)  # a bad beginning is no explosion
    check_loss(25.0, 1.0, 30.0, 66, 10)
    check_loss(9.0, 1e6, 1.5, 66, 10)
    for mean, norm, lowest in ((math.nan, 1.0, 1.0), (1.0, math.inf, 1.0), (math.inf, 1.0, None), (10.0, 1.0, 1.5)):
        with pytest.raises(Diverged):
            check_loss(mean, norm, lowest, 66, 10)


def test_a_changed_corpus_is_refused_unless_asked_for(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    job = tiny.job(tmp_path, steps=20)
    assert nursery.run(job)[0] == 0
    path, corpus = tmp_path / "out" / "tiny.lstm.safetensors", tmp_path / "corpus.txt"
    good = path.read_bytes()
    further = tiny.job(tmp_path, steps=60)
    for change in (lambda text: text + "a", lambda text: text[:-1], lambda text: text.replace("a", "b", 1)):
        with ledger.attempt("a corpus changed since the run began: refused with one line, nothing touched"):
            corpus.write_text(change(tiny.text()), encoding="utf-8")
            status, said = nursery.run(tiny.resumed(further))
            assert status == 1, said
            assert "--allow-changed-corpus" in said
            assert path.read_bytes() == good
    with ledger.attempt("a changed corpus that was asked for: the run goes on, the checkpoint of the old one is kept"):
        job = tiny.resumed(tiny.job(tmp_path, steps=60, allow_changed_corpus=True))
        status, said = nursery.run(job)
        assert status == 0, said
        assert (tmp_path / "out" / "tiny.lstm.run" / "previous.safetensors").read_bytes() == good
        assert tiny.steps_done(tmp_path)[-40:] == list(range(21, 61))
    with ledger.attempt("a changed corpus with characters that the run does not know: refused with one line"):
        corpus.write_text(tiny.text() + "ß", encoding="utf-8")
        status, said = nursery.run(tiny.resumed(tiny.job(tmp_path, steps=80, allow_changed_corpus=True)))
        assert status == 1, said
        assert "does not know 'ß'" in said
