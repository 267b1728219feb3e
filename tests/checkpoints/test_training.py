from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cells.errors import CelloquyError, UsageError
from checkpoints.batches import split_text
from checkpoints.evaluate import evaluate
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint
from checkpoints.trainer import Trainer

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]


def text_of(corpus: Path) -> str:
    return corpus.read_text(encoding="utf-8")


def test_the_loss_falls_and_the_best_validation_is_what_the_file_holds(
    small_train: Train, corpus: Path, events: Events
) -> None:
    path = small_train(steps=150)
    evals = [event["val_loss"] for event in events(path, "eval")]
    figures = evaluate(load_checkpoint(path), split_text(text_of(corpus), 0.1)[1])
    assert min(evals) < 2.6 < math.log(30)
    assert figures["nats_per_token"] == pytest.approx(min(evals), abs=1e-6)
    assert read_header(path).val_loss == min(evals)
    assert read_header(path).figures["val_bits_per_character"] == pytest.approx(figures["bits_per_character"])


def test_a_worse_validation_does_not_replace_a_better_one(small_train: Train, tmp_path: Path, events: Events) -> None:
    noise = tmp_path / "noise.txt"
    noise.write_text("".join(random.Random(1).choices("abcdefgh", k=600)))
    path = small_train(noise, schedule="constant", lr=0.05, hidden=24, steps=100)
    evals = {event["step"]: event["val_loss"] for event in events(path, "eval")}
    best = min(evals, key=evals.__getitem__)
    assert best < max(evals), "this run was meant to get worse at its end"
    assert read_header(path).figures["step"] == best
    assert events(path, "done")[0]["best_step"] == best


def test_the_log_has_the_promised_lines(small_train: Train, events: Events) -> None:
    path = small_train(sample_every=30, prompt=["The ", "zß"])
    for event in events(path, "train"):
        assert event.keys() == {*("event", "step", "tokens", "seconds", "loss", "lr", "grad_norm", "tokens_per_second")}
        assert event["tokens"] == event["step"] * 4 * 16
    for event in events(path, "eval"):
        assert event.keys() == {*("event", "step", "seconds", "val_loss", "val_perplexity", "val_bits_per_character")}
        assert event["val_perplexity"] == pytest.approx(math.exp(event["val_loss"]))
    samples = events(path, "sample")
    assert [(event["step"], event["prompt"]) for event in samples] == [
        (30, "The "),
        (30, "zß"),
        (60, "The "),
        (60, "zß"),
    ]
    assert all(len(event["text"]) == 200 and "\ufffd" not in event["text"] for event in samples)
    assert [event["event"] for event in events(path)][-1] == "done"
    assert [event["step"] for event in events(path, "train")] == [10, 20, 30, 40, 50, 60]
    assert [event["step"] for event in events(path, "eval")] == [20, 40, 60]


def test_the_header_says_where_the_model_comes_from(small_train: Train, corpus: Path) -> None:
    path = small_train(embed=5, layers=2, val=0.2)
    header = read_header(path)
    text = text_of(corpus)
    assert (header.family, header.cell_name) == ("tiny", "lstm")
    assert header.cell["distribution"] == "celloquy"
    assert header.model["embedding_size"] == 5
    assert header.tokenizer["characters"] == "".join(sorted(set(text)))
    assert header.split["train_tokens"] + header.split["val_tokens"] == len(text)
    assert header.split["val_fraction"] == 0.2
    assert header.corpus["files"] == [{"name": "verse.txt", "bytes": len(text)}]
    assert header.corpus["fingerprint"].startswith("sha256:")
    assert header.recipe["hidden"] == 12
    assert header.figures["tokens_seen"] == 60 * 4 * 16
    assert header.template is None
    assert header.parameters == load_checkpoint(path).model.parameter_count


def test_several_cells_become_a_family(tiny_family: Path) -> None:
    assert sorted(path.name for path in tiny_family.iterdir()) == [
        *("tiny.gru.run", "tiny.gru.safetensors", "tiny.lstm.run", "tiny.lstm.safetensors"),
        *("tiny.rnn.run", "tiny.rnn.safetensors"),
    ]
    fingerprints = {read_header(path).corpus["fingerprint"] for path in tiny_family.glob("*.safetensors")}
    assert len(fingerprints) == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(small_train: Train) -> None:
    first = load_tensors(small_train(name="a", dropout=0.3))
    again = load_tensors(small_train(name="b", dropout=0.3))
    other = load_tensors(small_train(name="c", dropout=0.3, seed=2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_callers_random_state_and_threads_alone(small_train: Train) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    small_train(steps=5)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": "byte"},
        {"norm": "layer", "residual": True, "layers": 2, "tie": True},
        {"optimizer": "sgd", "schedule": "plateau", "warmup": 10},
        {"init": "orthogonal", "clip": 0.0, "weight_decay": 0.0},
        {"init": "normal:0.1", "cell": "rnn", "cell_option": ["activation=relu"]},
        {"precision": "bf16", "store": "bf16", "cell": "gru"},
        {"val": 0.0, "epochs": 0.5},
        {"minutes": 0.01},
        {"threads": "auto", "precision": "auto", "device": "cpu"},
    ],
)
def test_every_way_to_train_gives_a_checkpoint_that_loads(small_train: Train, options: dict[str, Any]) -> None:
    loaded = load_checkpoint(small_train(**options))
    logits, _ = loaded.model.decoder().step(torch.tensor([1]), loaded.model.initial_state(1))
    assert bool(torch.isfinite(logits).all())
    assert loaded.cell.options == ({"activation": "relu"} if "cell_option" in options else loaded.cell.options)


def test_weights_stored_in_bf16_have_the_figures_of_the_stored_weights(
    small_train: Train, corpus: Path, events: Events
) -> None:
    path = small_train(store="bf16")
    assert {info.dtype for info in read_header(path).tensors.values()} == {"BF16"}
    figures = evaluate(load_checkpoint(path), split_text(text_of(corpus), 0.1)[1])
    assert figures["nats_per_token"] == pytest.approx(min(e["val_loss"] for e in events(path, "eval")), abs=1e-6)


def test_epochs_are_counted_in_tokens(small_train: Train, corpus: Path, events: Events) -> None:
    path = small_train(epochs=2.0)
    tokens = read_header(path).split["train_tokens"]
    assert events(path, "done")[0]["step"] == round(2.0 * tokens / 64)


def test_a_budget_of_time_ends_near_it_with_a_spent_schedule(small_train: Train, events: Events) -> None:
    path = small_train(minutes=0.03, eval_every=0)
    (done,) = events(path, "done")
    assert done["seconds"] == pytest.approx(1.8, abs=0.5)
    assert events(path, "train")[-1]["lr"] < 0.05 * 1e-2
    assert events(path, "eval")[-1]["step"] == done["step"]


def test_warm_up_rises_and_cosine_falls(small_train: Train, events: Events) -> None:
    rates = [event["lr"] for event in events(small_train(warmup=30), "train")]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > rates[5] > 0


def test_patience_stops_a_run_that_no_longer_improves(small_train: Train, events: Events) -> None:
    path = small_train(lr=1e-30, steps=2000, patience=2, schedule="constant")
    (done,) = events(path, "done")
    assert (done["reason"], done["step"]) == ("patience", 60)


def test_a_plateau_halves_the_learning_rate(small_train: Train, events: Events) -> None:
    path = small_train(lr=1e-30, steps=60, schedule="plateau")
    assert [event["lr"] for event in events(path, "train")] == [1e-30, 1e-30, 1e-30, 1e-30, 5e-31, 5e-31]


def test_a_corpus_too_small_for_the_batch_shrinks_it_and_says_so(
    small_train: Train, tmp_path: Path, messages: io.StringIO
) -> None:
    small = tmp_path / "small.txt"
    small.write_text("to be or not to be, that is the question\n")
    path = small_train(small, batch=64, bptt=128)
    assert "batch 64 became 1 and bptt 128 became 35" in messages.getvalue()
    assert read_header(path).figures["step"] > 0


def test_a_text_of_one_character_trains(small_train: Train, tmp_path: Path) -> None:
    same = tmp_path / "same.txt"
    same.write_text("a" * 500)
    val_loss = read_header(small_train(same)).val_loss
    assert val_loss is not None
    assert val_loss < 0.1


@pytest.mark.parametrize(
    ("text", "reason"), [("", "empty"), ("a", "too small"), ("abc", "too small"), (None, "no such file")]
)
def test_a_hopeless_corpus_is_one_line_and_leaves_nothing(
    small_train: Train, tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "hopeless.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CelloquyError, match=reason) as caught:
        small_train(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cell": "lsmt"}, "lstm"),
        ({"cell": "lstm,lsmt"}, "lstm"),
        ({"tie": True, "embed": 5}, "tied"),
        ({"init": "normal:0"}, "init must be"),
        ({"cell_option": ["activation=relu"]}, "activation"),
        ({"device": "abacus"}, "device must be"),
        ({"threads": "many"}, "threads must be"),
        ({"threads": "0"}, "threads must be"),
        ({"hidden": 0}, "hidden must be"),
        ({"wings": 2}, "wings"),
        ({"tokens": "words"}, "char, byte, bpe:N"),
        ({"from": "nobody"}, "there is no checkpoint 'nobody'"),
    ],
)
def test_a_wrong_option_is_found_before_any_training(
    small_train: Train, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CelloquyError, match=reason) as caught:
        small_train(**options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


def test_a_name_is_needed(corpus: Path) -> None:
    from checkpoints.train import train

    with pytest.raises(UsageError, match="--name"):
        train(corpus)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_good_checkpoint(
    small_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def spoil(trainer: Trainer) -> None:
        step(trainer)
        if trainer.done.step == 45:
            with torch.no_grad():
                trainer.model.readout.bias.fill_(math.nan)

    monkeypatch.setattr(Trainer, "_step", spoil)
    with pytest.raises(CelloquyError, match="no longer a finite number at step 50; the last good checkpoint is kept"):
        small_train(on_divergence="stop")
    kept = tmp_path / "checkpoints" / "tiny.lstm.safetensors"
    assert read_header(kept).figures["step"] in (20, 40)
    load_checkpoint(kept)


def test_an_earlier_checkpoint_of_the_same_name_is_kept_aside(
    small_train: Train, tmp_path: Path, messages: io.StringIO
) -> None:
    path = small_train()
    first = path.read_bytes()
    small_train(seed=9)
    aside = tmp_path / "checkpoints" / "tiny.lstm.run" / "previous.safetensors"
    assert aside.read_bytes() == first != path.read_bytes()
    assert str(aside) in messages.getvalue()


def test_a_budget_that_is_over_before_the_first_step_has_one_and_validates_it(small_train: Train) -> None:
    figures = read_header(small_train(minutes=1e-6)).figures
    assert figures["step"] == 1
    assert figures["val_loss"] > 0
