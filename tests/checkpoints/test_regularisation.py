"""The regularisation options of ``train``: in the recipe, resumable to the bit, and the average of the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from checkpoints.average import WeightAverage
from checkpoints.batches import split_text
from checkpoints.evaluate import evaluate
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.interrupt import Interrupted
from checkpoints.loading import load_checkpoint
from checkpoints.resume import FILE

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]

ALL: dict[str, Any] = {
    "dropout": 0.2,
    "dropout_kind": "locked",
    "weight_dropout": 0.3,
    "embedding_dropout": 0.1,
    "activation_penalty": 2.0,
    "temporal_penalty": 1.0,
    "ema": 0.9,
}


def resume_tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_tensors(path.with_name(path.name.replace("safetensors", "run")) / FILE)


@pytest.mark.parametrize(("cell", "sampling"), [("lstm", "sequential"), ("gru", "random"), ("mingru", "sequential")])
def test_with_everything_at_once_a_resumed_run_ends_with_the_same_bits(
    small_train: Train, cell: str, sampling: str, stopper: Any
) -> None:
    options = {**ALL, "cell": cell, "sampling": sampling}
    whole = small_train(name="whole", **options)
    with pytest.raises(Interrupted):
        small_train(name="parts", **options, reporter=stopper(30))
    parts = small_train(name="parts", **options, resume=True)
    for one, other in ((load_tensors(whole), load_tensors(parts)), (resume_tensors(whole), resume_tensors(parts))):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kernels", ["loop", "fused"])
def test_each_option_changes_the_run_and_stands_in_the_recipe(small_train: Train, events: Events, kernels: str) -> None:
    short: dict[str, Any] = {"steps": 10, "eval_every": 10, "kernels": kernels}
    losses = [events(small_train(name="plain", **short), "eval")[-1]["val_loss"]]
    for key in sorted(ALL.keys() - {"dropout", "dropout_kind"}):
        path = small_train(name=key, **short, **{key: ALL[key]})
        assert read_header(path).recipe[key] == ALL[key]
        losses.append(events(path, "eval")[-1]["val_loss"])
    assert len(set(losses)) == len(losses)
    assert all(map(math.isfinite, losses))


def test_locked_dropout_is_another_dropout(small_train: Train, events: Events) -> None:
    losses = {
        kind: events(small_train(name=kind, steps=20, dropout=0.4, dropout_kind=kind), "eval")[-1]["val_loss"]
        for kind in ("independent", "locked")
    }
    assert losses["independent"] != losses["locked"]


def test_the_logged_loss_is_without_the_penalties(small_train: Train, events: Events) -> None:
    """Before the first step nothing has been penalised yet, and both runs read the same batch."""
    plain, other = (
        events(small_train(name=f"run{number}", steps=10, lr=1e-9, **options), "train")[0]["loss"]
        for number, options in enumerate([{}, {"activation_penalty": 50.0, "temporal_penalty": 50.0}])
    )
    assert other == pytest.approx(plain, abs=1e-5)


def test_the_average_is_the_moving_average_of_every_step() -> None:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average, expected = WeightAverage(model, 0.5), 1.0
    for step, value in enumerate((2.0, -4.0, 8.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        assert model.weight[0, 0].item() == pytest.approx(expected)
    assert model.weight[0, 0].item() == 8.0


def test_the_average_is_what_is_evaluated_and_saved(small_train: Train, corpus: Path, events: Events) -> None:
    path = small_train(ema=0.95, lr=0.05, schedule="constant")
    state, stored = resume_tensors(path), load_tensors(path)
    last = read_header(path).figures["step"] == 60
    for name, value in stored.items():
        assert not torch.equal(value, state[f"model.{name}"]), "the weights themselves were saved"
        assert not last or torch.equal(value, state[f"ema.{name}"])
    figures = evaluate(load_checkpoint(path), split_text(corpus.read_text(), 0.1)[1])
    assert figures["nats_per_token"] == pytest.approx(min(e["val_loss"] for e in events(path, "eval")), abs=1e-6)


def test_an_average_can_begin_when_a_run_is_resumed(small_train: Train, stopper: Any) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(30))
    path = small_train(resume=True, ema=0.9)
    assert json.dumps(read_header(path).recipe["ema"]) == "0.9"
