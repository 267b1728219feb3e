from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from cells.errors import CelloquyError
from checkpoints.files import METADATA_KEY, load_tensors, save_safetensors
from checkpoints.header import FORMAT, Header, read_header

HEADER = Header(
    family="tiny",
    cell={"name": "lstm", "version": 1, "options": {}, "distribution": "celloquy", "distribution_version": "0"},
    model={"vocabulary_size": 3, "hidden_size": 2},
    tokenizer={"kind": "char", "characters": "a漢"},
    figures={"val_loss": 1.25, "step": 7},
)
TENSORS = {"b.weight": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16)}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.lstm.safetensors"
    save_safetensors(path, TENSORS, HEADER.dumps())
    return path


def with_header(path: Path, change: Any) -> Path:
    """A file whose JSON header went through ``change``."""
    data = HEADER.to_json()
    change(data)
    save_safetensors(path, TENSORS, json.dumps(data))
    return path


def test_what_was_written_is_read_back(checkpoint: Path) -> None:
    header = read_header(checkpoint)
    assert header == HEADER
    assert header.format == FORMAT
    assert (header.name, header.cell_name, header.val_loss) == ("tiny.lstm", "lstm", 1.25)
    assert header.parameters == 10
    assert header.bytes == checkpoint.stat().st_size
    assert header.tensors["b.weight"].shape == (2, 3)
    again = load_tensors(checkpoint)
    assert all(torch.equal(again[name], tensor) for name, tensor in TENSORS.items())


def test_equal_contents_make_equal_files(checkpoint: Path, tmp_path: Path) -> None:
    save_safetensors(tmp_path / "again", dict(reversed(TENSORS.items())), HEADER.dumps())
    assert (tmp_path / "again").read_bytes() == checkpoint.read_bytes()


def test_a_file_cut_anywhere_gives_one_line(checkpoint: Path) -> None:
    raw = checkpoint.read_bytes()
    for length in range(0, len(raw), 7):
        checkpoint.write_bytes(raw[:length])
        with pytest.raises(CelloquyError) as caught:
            read_header(checkpoint)
        assert "\n" not in str(caught.value)
        assert checkpoint.name in str(caught.value)


def test_a_damaged_header_is_an_error_or_the_same_description(checkpoint: Path) -> None:
    raw = checkpoint.read_bytes()
    draw = random.Random(5)
    refused = 0
    for _ in range(400):
        damaged = bytearray(raw)
        damaged[draw.randrange(min(len(raw), 700))] ^= 1 << draw.randrange(8)
        checkpoint.write_bytes(damaged)
        said = complaints(checkpoint)
        assert len(said) <= 1
        refused += len(said)
    assert refused > 200


def complaints(path: Path) -> list[str]:
    """What reading a header says against it: nothing, or one line."""
    try:
        read_header(path)
    except CelloquyError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format": 1}',
        "[" * 100_000 + "]" * 100_000,
        '{"format": 1, "format": 1}',
        '{"format": NaN}',
        "9" * 5000,
    ],
)
def test_other_json_is_refused(checkpoint: Path, text: str) -> None:
    save_safetensors(checkpoint, TENSORS, text)
    with pytest.raises(CelloquyError, match="is damaged"):
        read_header(checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(format=FORMAT + 1),
        lambda data: data.update(format=True),
        lambda data: data.pop("corpus"),
        lambda data: data.update(model=[]),
        lambda data: data.update(family=5),
        lambda data: data.update(template="A:"),
        lambda data: data["cell"].pop("name"),
        lambda data: data["cell"].update(version="1"),
        lambda data: data["cell"].update(version=True),
        lambda data: data["cell"].update(options=[1]),
        lambda data: data["cell"].update(distribution=3),
    ],
)
def test_a_header_of_the_wrong_kind_is_refused(checkpoint: Path, change: Any) -> None:
    with pytest.raises(CelloquyError, match="is damaged"):
        read_header(with_header(checkpoint, change))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "F33"},
        {"dtype": ["F32"]},
        {"shape": [2, 4]},
        {"shape": [-2, -3]},
        {"shape": [True, 6]},
        {"shape": 6},
        {"shape": [1 << 60, 1 << 60]},
        {"data_offsets": [0, 24]},
        {"data_offsets": [8, 33]},
        {"data_offsets": [8]},
        {"more": 1},
    ],
)
def test_tensors_that_overlap_or_leave_the_file_are_refused(checkpoint: Path, change: dict[str, Any]) -> None:
    raw = checkpoint.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + length])
    table["b.weight"].update(change)
    text = json.dumps(table).encode()
    checkpoint.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(CelloquyError, match="is damaged"):
        read_header(checkpoint)


def test_an_absurd_header_length_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}" * 100)
    with pytest.raises(CelloquyError, match="not a checkpoint"):
        read_header(path)


def test_a_strangers_safetensors_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(TENSORS, tmp_path / "other.safetensors", {"other": "metadata"})
    with pytest.raises(CelloquyError, match="not a checkpoint of Celloquy"):
        read_header(tmp_path / "other.safetensors")
    assert METADATA_KEY != "other"


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CelloquyError, match="no such checkpoint file"):
            read_header(path)
