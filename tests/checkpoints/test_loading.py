from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cells.errors import CelloquyError, UsageError
from checkpoints.files import load_tensors, save_safetensors
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint

Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], object]


@pytest.fixture
def forge(tiny_family: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A function: the tiny LSTM with its header and tensors changed, in a file of its own."""
    source = tiny_family / "tiny.lstm.safetensors"

    def make(change: Change) -> Path:
        data = json.loads(json.dumps(read_header(source).to_json()))
        tensors = load_tensors(source)
        change(data, tensors)
        path = tmp_path / "forged.lstm.safetensors"
        save_safetensors(path, tensors, json.dumps(data))
        return path

    return make


def test_a_loaded_model_is_ready_to_speak(tiny_family: Path) -> None:
    loaded = load_checkpoint(tiny_family / "tiny.lstm.safetensors")
    assert loaded.name == "tiny.lstm"
    assert not loaded.model.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in loaded.model.parameters())
    assert loaded.model.kernels is not None
    assert loaded.tokenizer.vocabulary_size == loaded.model.config.vocabulary_size


def test_a_copy_of_a_model_takes_no_registry_along(tiny_family: Path) -> None:
    model = load_checkpoint(tiny_family / "tiny.lstm.safetensors").model
    assert copy.deepcopy(model).notice is model.notice


def test_a_sibling_is_loaded_by_its_cell(tiny_family: Path) -> None:
    assert load_checkpoint(tiny_family / "tiny.lstm.safetensors", "gru").header.cell_name == "gru"


def test_tied_weights_are_stored_once_and_stay_tied(
    small_train: Callable[..., Path],
) -> None:
    path = small_train(tie=True)
    assert "readout.weight" not in read_header(path).tensors
    model = load_checkpoint(path).model
    assert model.readout.weight is model.embedding.weight


def test_a_cell_that_is_not_installed_names_its_distribution(forge: Callable[[Change], Path]) -> None:
    path = forge(
        lambda data, _: data["cell"].update(name="swirl", distribution="celloquy-swirl", distribution_version="1.2")
    )
    with pytest.raises(CelloquyError, match=r"cell 'swirl' was provided by celloquy-swirl 1\.2: install that"):
        load_checkpoint(path)


def test_another_version_of_the_equations_is_refused(forge: Callable[[Change], Path]) -> None:
    with pytest.raises(CelloquyError, match="had version 7, and the one here has 1"):
        load_checkpoint(forge(lambda data, _: data["cell"].update(version=7)))


CHANGES: dict[str, Change] = {
    "an option that the cell lacks": lambda data, _: data["cell"].update(options={"wings": 2}),
    "sizes beyond reason": lambda data, _: data["model"].update(hidden_size=1 << 23),
    "too many layers": lambda data, _: data["model"].update(num_layers=1 << 20),
    "sizes of the wrong kind": lambda data, _: data["model"].update(hidden_size="12"),
    "a size that is not known": lambda data, _: data["model"].update(wings=2),
    "no sizes": lambda data, _: data["model"].clear(),
    "another vocabulary": lambda data, _: data["tokenizer"].update(characters="ab"),
    "a vocabulary of the wrong kind": lambda data, _: data["tokenizer"].update(characters=5),
    "another unknown id": lambda data, _: data["model"].update(unknown_id=None),
    "a missing tensor": lambda _, tensors: tensors.pop("readout.bias"),
    "a strange tensor": lambda _, tensors: tensors.update(wings=torch.zeros(2)),
    "a tensor of another shape": lambda _, tensors: tensors.update({"readout.bias": torch.zeros(2)}),
    "a tensor of whole numbers": lambda _, t: t.update({"readout.bias": torch.zeros_like(t["readout.bias"]).long()}),
    "not a number": lambda _, tensors: tensors["readout.bias"].fill_(torch.nan),
    "infinity": lambda _, tensors: tensors["embedding.weight"][1].fill_(torch.inf),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_that_contradicts_itself_is_one_line(forge: Callable[[Change], Path], name: str) -> None:
    with pytest.raises(CelloquyError) as caught:
        load_checkpoint(forge(CHANGES[name]))
    assert not isinstance(caught.value, UsageError)
    assert "forged.lstm" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_names_nothing_that_is_imported(forge: Callable[[Change], Path], tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    path = forge(lambda data, _: data["cell"].update(name="trap:Trap", distribution=str(tmp_path / "trap.py")))
    with pytest.raises(CelloquyError):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_no_pickle_is_read_anywhere_in_this_room() -> None:
    room = Path(__file__).parents[2] / "checkpoints"
    for file in room.glob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert "torch.load" not in source, file
        assert "import pickle" not in source, file


def test_a_header_can_be_rebuilt_from_its_json(tiny_family: Path) -> None:
    header = read_header(tiny_family / "tiny.rnn.safetensors")
    assert dataclasses.replace(header, tensors={}, bytes=0) == header
