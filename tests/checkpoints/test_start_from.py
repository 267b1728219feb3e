"""``--from``: a run that begins with another checkpoint's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cells.errors import CelloquyError, UsageError
from checkpoints.evaluate import evaluate
from checkpoints.loading import load_checkpoint

Train = Callable[..., Path]


@pytest.fixture
def unsized(small_train: Train) -> Train:
    """Training without a hidden size of its own."""

    def run(paths: Any = None, **options: Any) -> Path:
        return small_train(paths, **{"hidden": None, **options})

    return run


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_start_is_the_other_checkpoint(unsized: Train, tiny_family: Path, corpus: Path, cell: str) -> None:
    source = tiny_family / f"tiny.{cell}.safetensors"
    text = corpus.read_text()
    before = evaluate(load_checkpoint(source), text)["nats_per_token"]
    after = load_checkpoint(unsized(cell=cell, steps=1, lr=1e-9, **{"from": str(source)}))
    assert evaluate(after, text)["nats_per_token"] == pytest.approx(before, abs=1e-4)
    assert after.model.config.hidden_size == 12
    assert after.header.recipe["from"] == str(source)


def test_new_characters_are_added_and_old_ones_keep_their_rows(
    unsized: Train, tiny_family: Path, tmp_path: Path
) -> None:
    source = load_checkpoint(tiny_family / "tiny.lstm.safetensors")
    text = tmp_path / "new.txt"
    text.write_text("Ärger über 漢字 and mercy! " * 40, encoding="utf-8")
    widened = load_checkpoint(unsized(text, steps=1, lr=1e-9, **{"from": str(source.path)}))
    assert widened.tokenizer.unknown_characters("Ärger 漢字! The quality") == []
    for character in "Tm ":
        old, new = (loaded.tokenizer.encode(character)[0] for loaded in (source, widened))
        torch.testing.assert_close(
            source.model.readout.weight[old], widened.model.readout.weight[new], atol=1e-6, rtol=0
        )


def test_a_resumed_run_does_not_need_the_checkpoint_it_came_from(unsized: Train, small_train: Train) -> None:
    source = small_train(name="source")
    stopped = unsized(name="next", steps=20, **{"from": str(source)})
    source.unlink()
    assert unsized(name="next", steps=40, resume=True) == stopped


def test_a_size_that_differs_is_refused(small_train: Train, tiny_family: Path) -> None:
    with pytest.raises(UsageError, match="hidden cannot be 13: the checkpoint to start from has 12"):
        small_train(hidden=13, **{"from": str(tiny_family / "tiny.lstm.safetensors")})
    with pytest.raises(UsageError, match="tokens cannot be byte"):
        small_train(tokens="byte", **{"from": str(tiny_family / "tiny.lstm.safetensors")})


def test_a_family_without_the_cell_is_refused(unsized: Train, tiny_family: Path) -> None:
    (tiny_family / "alone.rnn.safetensors").write_bytes((tiny_family / "tiny.rnn.safetensors").read_bytes())
    try:
        with pytest.raises(CelloquyError, match="no sibling with cell 'lstm'"):
            unsized(cell="lstm", **{"from": str(tiny_family / "alone.rnn.safetensors")})
    finally:
        (tiny_family / "alone.rnn.safetensors").unlink()
