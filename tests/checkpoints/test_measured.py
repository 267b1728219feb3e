"""Threads and precision are measured, kept for the machine, and never change a run that is resumed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cells.gru import GRU
from cells.model import LanguageModel, ModelConfig
from checkpoints import measured
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.measured import keep_threads, kept_threads, measured_precision, work_of
from checkpoints.train import train

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]
CPU = torch.device("cpu")
WORK = work_of(LanguageModel(GRU(), ModelConfig(5, 4)), 4, 16)


@pytest.fixture(autouse=True)
def _a_quiet_machine_with_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "has_bf16", lambda _: True)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``taking({dtype: seconds})``: trials that take so long by the only clock there is."""
    now = [0.0]
    monkeypatch.setattr(measured, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def trials(seconds: dict[torch.dtype | None, float]) -> Any:
        return lambda dtype: lambda: now.__setitem__(0, now[0] + seconds[dtype])

    return trials


@pytest.mark.parametrize(("fp32", "expected"), [(0.8, "fp32"), (0.95, "bf16"), (3.0, "bf16")])
def test_the_clearly_faster_precision_is_taken_and_remembered(taking: Any, fp32: float, expected: str) -> None:
    assert measured_precision(CPU, WORK, taking({torch.bfloat16: 1.0, None: fp32})) == expected

    def never(dtype: torch.dtype | None) -> Any:
        raise AssertionError("measured again")

    assert measured_precision(CPU, WORK, never) == expected
    with pytest.raises(AssertionError, match="measured again"):
        measured_precision(CPU, work_of(LanguageModel(GRU(), ModelConfig(5, 8)), 4, 16), never)


def test_without_bfloat16_there_is_nothing_to_measure(taking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "has_bf16", lambda _: False)
    assert measured_precision(CPU, WORK, taking({})) == "fp32"


def test_a_number_of_threads_is_kept_only_while_the_machine_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "thread_choices", lambda: [1, 2])
    keep_threads(WORK, "bf16", 2)
    assert kept_threads(WORK, "bf16") == "2"
    assert kept_threads(WORK, "fp32") == ""
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert kept_threads(WORK, "bf16") == "", "two threads on a busy machine wait for each other"
    keep_threads(WORK, "bf16", 1)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert kept_threads(WORK, "bf16") == "2"
    monkeypatch.setattr(measured, "thread_choices", lambda: [1])
    assert kept_threads(WORK, "bf16") == "", "another number of cores"


def test_what_was_measured_since_changes_no_run_that_is_resumed(
    small_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose: dict[str, Any] = {"precision": "auto", "threads": "auto"}
    monkeypatch.setattr("checkpoints.machine.measured_precision", lambda *_: "fp32")
    whole = small_train(name="whole", steps=12, schedule="constant", **choose)
    parts = small_train(name="parts", steps=6, schedule="constant", **choose)
    monkeypatch.setattr("checkpoints.machine.measured_precision", lambda *_: "bf16")
    parts = small_train(name="parts", steps=12, resume=True, **choose)
    one, other = load_tensors(whole), load_tensors(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_verbose_says_what_was_chosen_and_why(small_train: Train, messages: io.StringIO) -> None:
    small_train(steps=2, verbose=True, precision="auto")
    assert "(the faster one here), 1 thread (as asked)" in messages.getvalue()
    small_train(steps=4, verbose=True, precision="auto", resume=True)
    assert "(as the run began)" in messages.getvalue()
    assert "verbose" not in read_header(small_train(steps=2, name="other", verbose=True)).recipe


def test_bfloat16_products_reach_the_loss_of_float32(tmp_path: Path, events: Events) -> None:
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    (tmp_path / "corpus.txt").write_text(text, encoding="utf-8")
    losses = {}
    for precision in ("fp32", "bf16"):
        [checkpoint] = train(
            tmp_path / "corpus.txt",
            name=precision,
            out=tmp_path / "out",
            hidden=64,
            batch=16,
            bptt=32,
            steps=500,
            val=0.1,
            eval_every=500,
            threads="1",
            precision=precision,
        )
        lines = events(checkpoint, "train")[-5:]
        losses[precision] = sum(line["loss"] for line in lines) / len(lines), events(checkpoint, "eval")[-1]["val_loss"]
        assert all(tensor.dtype == torch.float32 for tensor in load_tensors(checkpoint).values()), "master weights"
    assert losses["fp32"][0] < 2.6, "something was learned"
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=0.01)
