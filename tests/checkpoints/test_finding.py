from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cells.errors import CelloquyError
from checkpoints import finding
from checkpoints.files import load_tensors
from checkpoints.finding import describe, find, list_checkpoints, siblings
from checkpoints.header import read_header
from checkpoints.resume import FILE, begun_options


@pytest.fixture
def places(tmp_path: Path, tiny_family: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder; nothing ships; the home's checkpoints hold the tiny family."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(finding, "SHIPPED", tmp_path / "shipped")
    put(tiny_family, tmp_path / "home" / "checkpoints")
    return tmp_path


def put(family: Path, folder: Path, name: str = "tiny", cells: tuple[str, ...] = ("gru", "lstm", "rnn")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        shutil.copy(family / f"tiny.{cell}.safetensors", folder / f"{name}.{cell}.safetensors")


def test_a_family_means_its_best_validation_loss(places: Path) -> None:
    folder = places / "home" / "checkpoints"
    losses = {path: read_header(path).val_loss for path in folder.iterdir()}
    assert find("tiny") == min(losses, key=lambda path: losses[path] or 99)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_cell_is_found_by_its_full_name_or_beside_a_sibling(places: Path, cell: str) -> None:
    expected = places / "home" / "checkpoints" / f"tiny.{cell}.safetensors"
    assert find(f"tiny.{cell}") == expected
    assert find("tiny", cell) == expected
    assert find("tiny.rnn", cell) == expected
    assert find(str(expected)) == expected
    assert find(str(expected.with_name("tiny.rnn.safetensors")), cell) == expected
    assert find(str(expected).removesuffix(".safetensors")) == expected


def test_the_working_folder_comes_before_home_and_home_before_what_ships(places: Path, tiny_family: Path) -> None:
    put(tiny_family, places / "shipped")
    put(tiny_family, places / "shipped", "bard")
    assert find("bard.rnn").parent == places / "shipped"
    assert find("tiny.rnn").parent == places / "home" / "checkpoints"
    put(tiny_family, places / "checkpoints")
    assert find("tiny.rnn") == Path("checkpoints/tiny.rnn.safetensors")


def test_an_unknown_name_lists_the_ones_there_are(places: Path) -> None:
    for name in ("tinny", "tiny.lsmt", "tiny\x00", "x" * 500):
        with pytest.raises(CelloquyError, match=r"there are: tiny\.gru, tiny\.lstm, tiny\.rnn"):
            find(name)
    with pytest.raises(CelloquyError, match="no sibling with cell 'lsmt'; there are: rnn, lstm, gru"):
        find("tiny", "lsmt")
    with pytest.raises(CelloquyError, match=r"no checkpoint file"):
        find("somewhere/tiny")
    with pytest.raises(CelloquyError, match="empty"):
        find("")


def test_without_any_checkpoint_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finding, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(CelloquyError, match="celloquy train makes one"):
        find("tiny")


def test_siblings_come_in_a_known_order(places: Path, tiny_family: Path) -> None:
    folder = places / "home" / "checkpoints"
    shutil.copy(folder / "tiny.rnn.safetensors", folder / "tiny.antique.safetensors")
    shutil.copy(folder / "tiny.rnn.safetensors", folder / "tiny.more.rnn.safetensors")
    assert list(siblings(folder / "tiny.gru.safetensors")) == ["rnn", "lstm", "gru", "antique"]
    shutil.copy(folder / "tiny.rnn.safetensors", folder / "alone.safetensors")
    assert siblings(folder / "alone.safetensors") == {"rnn": folder / "alone.safetensors"}


def test_the_list_shows_each_name_once_and_reports_what_it_cannot_read(places: Path, tiny_family: Path) -> None:
    put(tiny_family, places / "checkpoints", cells=("lstm",))
    (places / "checkpoints" / "torn.rnn.safetensors").write_bytes(b"torn")
    problems: list[str] = []
    entries = list_checkpoints(problems)
    assert [entry.name for entry in entries] == ["tiny.lstm", "tiny.rnn", "tiny.gru"]
    assert entries[0].path == str(Path("checkpoints/tiny.lstm.safetensors"))
    assert len(problems) == 1
    assert "torn.rnn" in problems[0]
    described = json.loads(json.dumps(entries[0].to_json()))
    assert described.keys() == {"name", "family", "cell", "path", "parameters", "bytes", "val_loss"}
    assert described["bytes"] == Path(described["path"]).stat().st_size


def test_a_damaged_sibling_does_not_hide_the_family(places: Path) -> None:
    folder = places / "home" / "checkpoints"
    (folder / "tiny.gru.safetensors").write_bytes(b"torn")
    assert find("tiny").name in ("tiny.lstm.safetensors", "tiny.rnn.safetensors")


def test_info_is_everything_that_the_checkpoint_says(places: Path) -> None:
    described: dict[str, Any] = json.loads(json.dumps(describe(find("tiny.gru"))))
    header = read_header(find("tiny.gru"))
    assert described.items() >= {**header.to_json(), "cell": described["cell"]}.items()
    assert described["dtypes"] == ["f32"]
    assert described["parameters"] == header.parameters
    assert described["name"] == "tiny.gru"


def test_the_home_of_nobody_is_a_name_like_any_other(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CelloquyError, match=r"no checkpoint file '~nobody\.at\.all/x"):
        find("~nobody.at.all/x.safetensors")
    monkeypatch.setenv("CELLOQUY_HOME", "~nobody.at.all")
    assert finding.home() == Path("~nobody.at.all")
    with pytest.raises(CelloquyError, match="there is no checkpoint"):
        find("tiny")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(places: Path) -> None:
    os.mkfifo(places / "pipe.safetensors")
    for look in (read_header, load_tensors):
        with pytest.raises(CelloquyError, match=r"is not a file|there is no such"):
            look(places / "pipe.safetensors")
    (places / "run").mkdir()
    os.mkfifo(places / "run" / FILE)
    assert begun_options(places / "run") == {}
