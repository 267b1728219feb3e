from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cells.errors import CelloquyError
from checkpoints.files import load_tensors, make_folder, write_atomic
from checkpoints.runlog import RunLog


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CelloquyError, match="a could not be written: No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_is_gone_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(CelloquyError, match="could not be written"):
        write_atomic(tmp_path / "gone" / "a", b"new")
    (tmp_path / "file").touch()
    with pytest.raises(CelloquyError, match="could not be made"):
        make_folder(tmp_path / "file" / "folder")


def test_a_damaged_tensor_file_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nothing of that kind")
    with pytest.raises(CelloquyError, match="damaged") as caught:
        load_tensors(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_a_log_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("train", step=1)
        place = log.position()
        log.write("train", step=2)
    with RunLog(path, place) as log:
        log.write("train", step=3, text="漢\n")
    assert path.read_text(encoding="utf-8") == (
        '{"event": "train", "step": 1}\n{"event": "train", "step": 3, "text": "漢\\n"}\n'
    )


def test_a_log_that_lost_its_end_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "train"}\n{"eve')
    with RunLog(path, 1000) as log:
        log.write("done")
    assert path.read_bytes() == b'{"event": "train"}\n{"event": "done"}\n'


@pytest.mark.parametrize("module", ["finding", "header", "tokenizers", "options", "corpus", "recipe", "train"])
def test_what_the_light_commands_need_imports_no_torch(module: str) -> None:
    code = f"import sys, checkpoints.{module}; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
