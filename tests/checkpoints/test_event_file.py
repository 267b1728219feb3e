"""TensorBoard: what ``--tensorboard`` writes is what ``log.jsonl`` says, read back by TensorBoard itself."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoints.event_file import EventFile, crc32c

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]


def records(path: Path) -> list[bytes]:
    """The data of each record, its check sums checked."""
    raw, found = path.read_bytes(), []
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        found.append(raw[12 : 12 + length])
        for data, place in ((raw[:8], 8), (found[-1], 12 + length)):
            crc = crc32c(data)
            assert raw[place : place + 4] == struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
        raw = raw[16 + length :]
    return found


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """tag -> step -> value, as TensorBoard itself reads the folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: {one.step: one.value for one in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}


def test_the_check_sum_is_that_of_the_published_examples() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_a_file_begins_with_its_version_and_holds_the_numbers(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "run")
    file.log({"event": "train", "step": 300, "tokens": 5, "seconds": 1.0, "loss": 1.5, "lr": 0.25})
    file.log({"event": "sample", "step": 300, "prompt": "a", "text": "b"})
    file.log({"event": "done", "step": 300, "best_loss": 1.0})
    assert "tfevents" in file.path.name
    version, start, summary = records(file.path)
    assert version.endswith(b"\x1a\x0dbrain.Event:2")
    assert start.endswith(b"\x10\xac\x02\x3a\x02\x08\x01")
    assert b"\x0atrain/loss\x15" + struct.pack("<f", 1.5) in summary
    assert b"\x08train/lr\x15" + struct.pack("<f", 0.25) in summary


def test_a_number_too_large_for_the_file_is_infinite_there(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "run")
    file.log({"event": "eval", "step": 1, "val_loss": 700.0, "val_perplexity": 1e304})
    assert b"eval/val_perplexity\x15" + struct.pack("<f", float("inf")) in records(file.path)[-1]


def test_a_run_leaves_its_curves(small_train: Train, tmp_path: Path, events: Events) -> None:
    path = small_train(tensorboard=str(tmp_path / "boards"))
    (file,) = (tmp_path / "boards").glob("*/*")
    assert file.parent.name == path.name.removesuffix(".safetensors")
    summaries = [one for one in records(file) if b"/" in one]
    logged = [one for one in events(path, "train") + events(path, "eval") if "step" in one]
    assert len(summaries) == len(logged)


def test_tensorboard_reads_what_was_written(small_train: Train, tmp_path: Path, events: Events) -> None:
    pytest.importorskip("tensorboard", reason="pip install -e '.[test]' brings it")
    path = small_train(tensorboard=str(tmp_path / "boards"))
    curves = scalars(next((tmp_path / "boards").iterdir()))
    assert {"train/loss", "train/lr", "train/grad_norm", "eval/val_loss"} <= curves.keys()
    losses = {one["step"]: one["val_loss"] for one in events(path, "eval")}
    assert curves["eval/val_loss"] == pytest.approx(losses, rel=1e-6)


def test_a_run_that_goes_back_replaces_what_came_after(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install -e '.[test]' brings it")
    first = EventFile(tmp_path)
    for step in (10, 20, 30):
        first.log({"event": "train", "step": step, "loss": float(step)})
    again = EventFile(tmp_path)  # resumed from step 10
    again.log({"event": "train", "step": 20, "loss": 2.0})
    assert scalars(tmp_path)["train/loss"] == {10: 10.0, 20: 2.0}


def test_a_folder_that_cannot_be_is_one_line(small_train: Train, tmp_path: Path) -> None:
    from cells.errors import CelloquyError

    (tmp_path / "file").write_text("")
    with pytest.raises(CelloquyError, match="could not be made"):
        small_train(tensorboard=str(tmp_path / "file" / "x"))
