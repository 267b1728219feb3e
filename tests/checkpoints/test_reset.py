"""``--reset``: rows that begin anew teach a model the beginning of a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from cells.gru import GRU
from cells.model import LanguageModel, ModelConfig
from checkpoints.start import some_anew


def anew(share: float) -> tuple[Any, Any]:
    model = LanguageModel(GRU(), ModelConfig(5, 4, num_layers=2))
    state = [{"h": torch.ones(2000, 4)} for _ in range(2)]
    return state, some_anew(state, model.initial_state(2000), share)


def test_without_reset_every_row_reads_on() -> None:
    state, after = anew(0.0)
    assert after is state


def test_with_reset_one_every_row_begins_anew() -> None:
    _, after = anew(1.0)
    assert all(layer["h"].abs().sum() == 0 for layer in after)


def test_the_share_of_rows_that_begin_anew_is_as_asked_and_whole_rows_do() -> None:
    torch.manual_seed(0)
    _, after = anew(0.25)
    first, second = (layer["h"] for layer in after)
    assert torch.equal(first, second)
    assert torch.equal(first.amin(1), first.amax(1))
    assert 0.2 < 1 - first.mean() < 0.3


def test_a_run_with_resets_goes_on_after_a_resume_as_if_it_had_not_stopped(small_train: Any, tmp_path: Path) -> None:
    def losses(out: Path) -> list[float]:
        lines = (out / "tiny.lstm.run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [event["loss"] for event in map(json.loads, lines) if event["event"] == "train"]

    small_train(reset=0.3, schedule="constant", steps=40, out=tmp_path / "whole")
    small_train(reset=0.3, schedule="constant", steps=20, out=tmp_path / "parts")
    small_train(reset=0.3, schedule="constant", steps=40, out=tmp_path / "parts", resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
