"""Options that the teaching texts' experiments need: clipping by value, plain SGD, random pieces, the training text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from checkpoints.batches import split_text
from checkpoints.evaluate import evaluate
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint
from checkpoints.optimise import clip_gradient, make_optimizer
from checkpoints.options import TrainOptions
from checkpoints.random_batches import RandomBatches
from checkpoints.recipe import SHIPPED, read_recipe, recipe_file
from checkpoints.resume import FILE

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]

# ---------------------------------------------------------------------- clipping and SGD


def gradients(*values: list[float]) -> list[torch.Tensor]:
    parameters = [torch.zeros(len(value), requires_grad=True) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


@pytest.mark.parametrize(
    ("limit", "kind", "expected"),
    [
        (1.0, "norm", [0.6, 0.0, -0.8]),
        (10.0, "norm", [3.0, 0.0, -4.0]),
        (1.0, "value", [1.0, 0.0, -1.0]),
        (3.5, "value", [3.0, 0.0, -3.5]),
        (0.0, "norm", [3.0, 0.0, -4.0]),
        (0.0, "value", [3.0, 0.0, -4.0]),
    ],
)
def test_the_gradient_is_clipped_by_norm_or_value(limit: float, kind: str, expected: list[float]) -> None:
    parameters = gradients([3.0, 0.0], [-4.0])
    assert float(clip_gradient(parameters, limit, kind)) == pytest.approx(5.0)
    clipped = torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None])
    assert clipped.tolist() == pytest.approx(expected, abs=1e-5)


def test_sgd_without_momentum_is_the_plain_step() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    options = TrainOptions.from_values(
        {"name": "x", "optimizer": "sgd", "lr": 100.0, "momentum": 0.0, "weight_decay": 0.0}
    )
    optimizer = make_optimizer(model, options)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for _ in range(2):
        model.weight.grad = torch.tensor([[0.01, -0.02]])
        optimizer.step()
    assert model.weight.detach().tolist()[0] == pytest.approx([-1.0, 5.0])
    assert not any(isinstance(value, torch.Tensor) for state in optimizer.state.values() for value in state.values())


def test_plain_sgd_with_the_published_rate_and_clipping_learns(small_train: Train, events: Events) -> None:
    path = small_train(
        optimizer="sgd", momentum=0.0, lr=100.0, clip=0.01, schedule="constant", sampling="random", weight_decay=0.0
    )
    losses = [event["loss"] for event in events(path, "train")]
    assert losses[-1] < losses[0] - 0.3
    assert read_header(path).recipe.items() >= {"momentum": 0.0, "clip": 0.01, "clip_kind": "norm"}.items()


# ---------------------------------------------------------------------- random pieces


def numbered(length: int) -> numpy.ndarray:
    return numpy.arange(length, dtype=numpy.int32)


SIZES = {"length": st.integers(12, 200), "batch": st.integers(1, 4), "bptt": st.integers(1, 3)}


@given(**SIZES, seed=st.integers(0, 5))
def test_a_pass_deals_out_pieces_that_do_not_overlap(length: int, batch: int, bptt: int, seed: int) -> None:
    batches = RandomBatches(numbered(length), batch, bptt, seed)
    seen: list[int] = []
    for _ in range(length // bptt // batch):
        inputs, targets = batches.next()
        assert inputs.shape == targets.shape == (bptt, batch)
        assert torch.equal(targets, (inputs + 1) % length)
        assert torch.equal(inputs[1:], (inputs[:-1] + 1) % length)
        seen += inputs.flatten().tolist()
    assert len(set(seen)) == len(seen)
    assert length - len(seen) < batch * bptt + bptt


@given(**SIZES, steps=st.integers(0, 90))
def test_the_position_is_all_that_resuming_needs(length: int, batch: int, bptt: int, steps: int) -> None:
    first, second = (RandomBatches(numbered(length), batch, bptt, seed=3) for _ in range(2))
    for _ in range(steps):
        first.next()
    second.read = first.read
    for one, other in zip(first.next(), second.next(), strict=True):
        assert torch.equal(one, other)


def test_the_seed_and_the_pass_change_the_order() -> None:
    def two_passes(seed: int) -> list[list[int]]:
        batches = RandomBatches(numbered(64), 4, 4, seed)
        return [[token for _ in range(4) for token in batches.next()[0][0].tolist()] for _ in range(2)]

    first, again = two_passes(1)
    assert first != again
    assert two_passes(2) != [first, again]
    assert two_passes(1) == [first, again]


def test_some_rows_are_the_same_rows_as_among_all() -> None:
    whole, part = RandomBatches(numbered(100), 4, 5, 1), RandomBatches(numbered(100), 4, 5, 1, rows=[1, 3])
    for one, other in zip(whole.next(), part.next(), strict=True):
        assert torch.equal(one[:, [1, 3]], other)


def test_random_pieces_are_read_without_a_past(small_train: Train, events: Events) -> None:
    """A state that was carried from piece to piece would make the run another one; --reset 1 forgets it always."""
    runs = [small_train(name=f"run{reset}", sampling="random", reset=reset) for reset in (0, 1.0)]
    one, other = ([event["loss"] for event in events(path, "train")] for path in runs)
    assert one == other


# ---------------------------------------------------------------------- the training text


def test_the_training_text_is_scored_as_any_text_is(small_train: Train, corpus: Path, events: Events) -> None:
    path = small_train(val=0.0, eval_on="train")
    evals = events(path, "eval")
    assert [event.keys() & {"val_loss"} for event in evals] == [set()] * 3
    best = min(event["train_text_loss"] for event in evals)
    scored = evaluate(load_checkpoint(path), corpus.read_text(encoding="utf-8"))
    assert scored["nats_per_token"] == pytest.approx(best, abs=1e-6)
    assert scored["perplexity"] == pytest.approx(min(event["train_text_perplexity"] for event in evals), rel=1e-5)
    assert read_header(path).figures["train_text_loss"] == best
    assert read_header(path).val_loss is None
    assert events(path, "done")[0]["best_val_loss"] is None


def test_what_is_held_out_stays_so(small_train: Train, corpus: Path) -> None:
    path = small_train(eval_on="train", val=0.3)
    text = split_text(corpus.read_text(encoding="utf-8"), 0.3)[0]
    scored = evaluate(load_checkpoint(path), text)["nats_per_token"]
    assert scored == pytest.approx(read_header(path).figures["train_text_loss"], abs=1e-6)


def test_both_are_scored_and_validation_decides(small_train: Train, events: Events, messages: Any) -> None:
    evals = events(small_train(eval_on="both"), "eval")
    for event in evals:
        assert event["val_perplexity"] == pytest.approx(math.exp(event["val_loss"]))
        assert event["train_text_perplexity"] == pytest.approx(math.exp(event["train_text_loss"]))
    said = messages.getvalue()
    assert f"validation loss {evals[0]['val_loss']:.4f}" in said
    assert f"training text {evals[0]['train_text_loss']:.4f}" in said


def test_without_eval_on_nothing_changes(small_train: Train, events: Events) -> None:
    (first, *_) = events(small_train(), "eval")
    assert not any("train" in key for key in first)


@pytest.mark.parametrize("change", [{"sampling": "random"}, {"eval_on": "both"}])
def test_what_is_read_and_scored_cannot_change_in_a_run(small_train: Train, change: dict[str, Any]) -> None:
    small_train()
    with pytest.raises(UsageError, match="cannot change when a run is resumed"):
        small_train(resume=True, steps=80, **change)


# ---------------------------------------------------------------------- loop or kernel


def test_a_fused_run_agrees_with_the_loop(small_train: Train, events: Events) -> None:
    one, other = (
        [event["loss"] for event in events(small_train(name=kernels, kernels=kernels, steps=30), "train")]
        for kernels in ("loop", "fused")
    )
    assert one == pytest.approx(other, abs=2e-3)
    assert one != other, "both ran by the same way"


def test_a_cell_without_a_kernel_cannot_be_fused(small_train: Train) -> None:
    with pytest.raises(UsageError, match="no fused kernel on cpu; leave --kernels at auto"):
        small_train(cell="mingru", kernels="fused")


# ---------------------------------------------------------------------- recipes by name


def test_a_shipped_recipe_is_found_by_its_name() -> None:
    assert read_recipe("shakespeare") == read_recipe(SHIPPED / "shakespeare.toml")


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare").write_text("hidden = 5\n")
    assert recipe_file("shakespeare") == Path("shakespeare")
    assert read_recipe("shakespeare").common == {"hidden": 5}


def test_a_name_that_is_no_recipe_lists_those_that_ship() -> None:
    with pytest.raises(CelloquyError, match="no recipe 'shakespear': name a file, or one that ships: ch") as caught:
        read_recipe("shakespear")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("recipe", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_read(recipe: Path) -> None:
    from checkpoints.train import plan

    assert plan({"recipe": recipe.stem})


def test_a_resumed_run_with_plain_sgd_has_the_same_bits(small_train: Train) -> None:
    options = {"optimizer": "sgd", "momentum": 0.0, "lr": 1.0, "clip_kind": "value", "clip": 0.01, "sampling": "random"}
    whole = small_train(name="whole", schedule="constant", steps=40, **options)
    small_train(name="parts", schedule="constant", steps=20, **options)
    parts = small_train(name="parts", schedule="constant", steps=40, resume=True, **options)
    folders = [path.with_name(path.name.replace("safetensors", "run")) / FILE for path in (whole, parts)]
    one, other = (load_tensors(path) for path in folders)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
