"""A full disk, a folder that is read-only or gone, a clock that goes back: one line, and nothing good is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint

REFUSALS = {
    "disk full": errno.ENOSPC,
    "read-only": errno.EROFS,
    "no permission": errno.EACCES,
    "over quota": errno.EDQUOT,
    "folder gone": errno.ENOENT,
    "the disk fails": errno.EIO,
}


def complaint(said: str) -> str:
    """The only line that complains; and nothing looks like a traceback."""
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said
    assert said.rstrip().endswith(lines[0]), said
    return lines[0]


def with_mounted(folder: Path, options: str) -> contextlib.AbstractContextManager[Any]:
    """A file system of its own in ``folder``, while entered; skips where this may not be done."""

    @contextlib.contextmanager
    def mounted() -> Iterator[None]:
        folder.mkdir()
        mount = shutil.which("mount")
        if os.geteuid() != 0 or mount is None:
            pytest.skip("only root can mount a small file system")
        done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("this root cannot mount")
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)

    return mounted()


def refused_and_resumed(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, folder: Path, name: str, place: int, for_good: bool
) -> None:
    """The operating system refuses one touch of a file (and all after it): one line, then the run can be resumed."""
    with ledger.attempt(f"{name} while files are written: one line, the good checkpoint untouched, resumed to the bit"):
        job = tiny.job(folder)
        status, said = nursery.run({**job, "refuse_at": place, "errno": REFUSALS[name], "for_good": for_good})
        if status == 0:  # what was refused can be done without
            assert "error" not in said
        else:
            assert status == 1, said
            assert os.strerror(REFUSALS[name]) in complaint(said)
        path = folder / "out" / "tiny.lstm.safetensors"
        if path.exists():
            load_checkpoint(path)
        if status == 1:
            again = job if tiny.saved_step(folder) is None else tiny.resumed(job)
            status, said = nursery.run(again)
            assert status == 0, said
        assert tiny.outcome(folder) == untouched


def test_a_disk_that_refuses_leaves_the_good_checkpoint_and_a_run_that_can_be_resumed(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    chance = random.Random(4)
    for number, name in enumerate(REFUSALS):
        place = chance.randrange(1, 120)
        refused_and_resumed(nursery, untouched, ledger, tmp_path / str(number), name, place, chance.random() < 0.5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_that_refuses_at_any_place(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    for place in range(1, 150):
        name = sorted(REFUSALS)[place % len(REFUSALS)]
        refused_and_resumed(nursery, untouched, ledger, tmp_path / str(place), name, place, place % 2 == 0)


def test_a_disk_that_is_really_full_gives_one_line_and_keeps_what_there_was(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    with (
        with_mounted(small, "size=300k"),
        ledger.attempt("disk full (a real small one): one line, the good checkpoint untouched"),
    ):
        job = tiny.job(small, steps=20)
        assert nursery.run(job)[0] == 0
        path = small / "out" / "tiny.lstm.safetensors"
        good = path.read_bytes()
        with contextlib.suppress(OSError), open(small / "ballast", "wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1024))
        job["train"]["steps"] = 400
        status, said = nursery.run(tiny.resumed(job))
        assert status == 1, said
        assert "No space left" in complaint(said)
        assert path.read_bytes() == good
        assert not [name for name in os.listdir(small / "out") if name.endswith(".tmp")]
        (small / "ballast").unlink()
        job["train"]["steps"] = 60
        status, said = nursery.run(tiny.resumed(job))
        assert status == 0, said


def test_a_read_only_folder_gives_one_line(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    corpus = tiny.job(tmp_path / "writable")
    with with_mounted(folder, "size=100k,ro"), ledger.attempt("read-only folder: one line"):
        corpus["train"]["out"] = str(folder / "out")
        status, said = nursery.run(corpus)
        assert status == 1, said
        assert "Read-only file system" in complaint(said)


@pytest.mark.parametrize("gone", ["out", "out/tiny.lstm.run"])
def test_a_folder_deleted_in_mid_run_gives_one_line(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, gone: str
) -> None:
    with ledger.attempt("folder deleted in mid-run: one line, the good checkpoint untouched"):
        child = nursery.start({**tiny.job(tmp_path), "hold_at": 21, "save_always": True})
        tiny.wait_for(tmp_path / "held", child)
        away = tmp_path / "away"
        (tmp_path / gone).rename(away)
        shutil.rmtree(away)
        (tmp_path / "go").touch()
        status = child.wait()
        assert status == 1, child.said
        assert "No such file" in complaint(child.said)
        if gone != "out":
            assert read_header(tmp_path / "out" / "tiny.lstm.safetensors").figures["step"] == 20


def test_a_clock_that_goes_backwards_changes_nothing(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt("the wall clock goes back by an hour at every look: the same bits"):
        status, said = nursery.run({**tiny.job(tmp_path), "clock": 3600.0})
        assert status == 0, said
        assert tiny.outcome(tmp_path) == untouched
        lines = (tmp_path / "out" / "tiny.lstm.run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
        seconds = [record["seconds"] for record in map(json.loads, lines) if "seconds" in record]
        assert seconds == sorted(seconds)
        assert 0 <= seconds[0] <= seconds[-1] < 60


def test_a_damaged_resume_state_is_replaced_by_the_one_before_it(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt("a damaged resume state: the one before it is taken, the same bits"):
        job = tiny.job(tmp_path)
        child = nursery.start({**job, "hold_at": 30, "save_always": True})
        tiny.wait_for(tmp_path / "held", child)
        child.kill()
        child.wait()
        file = tmp_path / "out" / "tiny.lstm.run" / "resume.safetensors"
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 4
        file.write_bytes(raw)
        status, said = nursery.run(tiny.resumed(job))
        assert status == 0, said
        assert "is damaged" in said
        assert tiny.outcome(tmp_path) == untouched
