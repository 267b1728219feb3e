"""Ctrl-C and SIGTERM save first; a second one leaves at once. Two runs never write the same name."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import Child, Nursery
from reliability_kit.ledger import Ledger

from checkpoints.lock import FILE, RunLock

SAVED = "Ctrl-C, SIGTERM or a closed terminal: saved, status 130, 143 or 129, no step redone, the same bits"
UNREAD = "whoever reads what a run says goes away, or the disk of its log is full: the run goes on to its end"
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def held(nursery: Nursery, folder: Path, job: dict[str, Any], place: int | str) -> Child:
    """A run that has come to a step (or its "end") and waits there for a signal or the file ``go``."""
    (folder / "held").unlink(missing_ok=True)
    child = nursery.start({**job, "hold_at": place})
    tiny.wait_for(folder / "held", child)
    return child


@pytest.mark.parametrize("number", STATUS, ids=["Ctrl-C", "SIGTERM", "a closed terminal"])
def test_a_signal_saves_first_and_tells_how_to_go_on(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path, number: signal.Signals
) -> None:
    with ledger.attempt(SAVED):
        chance = random.Random(int(number))
        job = {**tiny.job(tmp_path), "save_seconds": 1e9}
        for at in sorted(chance.sample(range(2, tiny.STEPS), 2)):
            child = held(nursery, tmp_path, tiny.resumed(job) if tiny.steps_done(tmp_path) else job, at)
            child.kill(number)
            assert child.wait() == STATUS[number], child.said
            last = child.said.splitlines()[-1]
            assert last.startswith(f"error: stopped at step {at}"), child.said
            assert "--resume" in last
        assert nursery.run(tiny.resumed(job))[0] == 0
        assert tiny.steps_done(tmp_path) == list(range(1, tiny.STEPS + 1))
        assert tiny.outcome(tmp_path) == untouched


@pytest.mark.parametrize("how", ["closed pipe", "full disk", "ignored"])
def test_a_run_goes_on_when_nobody_reads_what_it_says(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path, how: str
) -> None:
    with ledger.attempt(UNREAD):
        job = {**tiny.job(tmp_path), "unread": how}
        if how == "ignored":  # nohup
            child = held(nursery, tmp_path, job, 20)
            child.kill(signal.SIGHUP)
            (tmp_path / "go").touch()
        else:
            child = nursery.start(job)
        assert child.wait() == 0
        assert tiny.outcome(tmp_path) == untouched


def test_a_second_ctrl_c_leaves_at_once_without_a_torn_file(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    chance = random.Random(11)
    for number in range(3):
        with ledger.attempt("a second Ctrl-C: gone at once, in the middle of a save too, no torn file, the same bits"):
            folder = tmp_path / str(number)
            job = {**tiny.job(folder), "save_seconds": 1e9}
            child = held(nursery, folder, {**job, "slow_sync": [number + 1, 30.0]}, chance.randrange(3, 15))
            child.kill(signal.SIGINT)
            tiny.wait_for(folder / "syncing", child)
            began = time.monotonic()
            child.kill(signal.SIGINT)
            assert child.wait() == 130, child.said
            assert time.monotonic() - began < 20, (number, child.said)
            assert "Traceback" not in child.said
            assert not list(folder.glob("out/**/.*.tmp"))
            assert nursery.run(tiny.resumed(job))[0] == 0
            assert tiny.outcome(folder) == untouched


def test_a_ctrl_c_at_the_very_end_is_not_forgotten(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt("Ctrl-C in the last save of one cell: the next cell does not begin"):
        child = held(nursery, tmp_path, tiny.job(tmp_path, steps=3, cell="lstm,gru"), "end")
        child.kill(signal.SIGINT)
        assert child.wait() == 130, child.said
        assert not (tmp_path / "out" / "tiny.gru.safetensors").exists()


def test_the_second_run_of_a_name_is_refused_with_who_holds_it(
    nursery: Nursery, untouched: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt("two runs of one name: the second is refused and told who holds it, the first undisturbed"):
        job = tiny.job(tmp_path)
        child = held(nursery, tmp_path, job, 5)
        for other in (job, tiny.resumed(job), {**job, "train": {**job["train"], "cell": "gru,lstm"}}):
            status, said = nursery.run(other)
            assert status == 1, said
            assert f"tiny.lstm is being trained already by process {child.pid} on {socket.gethostname()}" in said
        status, said = nursery.run({**job, "train": {**job["train"], "name": "other", "steps": 2}})
        assert status == 0, said
        (tmp_path / "go").touch()
        assert child.wait() == 0, child.said
        assert tiny.outcome(tmp_path) == untouched
        assert not (tmp_path / "out" / "tiny.lstm.run" / FILE).exists()
        assert not (tmp_path / "out" / "tiny.gru.run").exists()


def test_the_lock_of_a_killed_run_is_taken_over(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt("the lock of a dead run: taken over"):
        job = tiny.job(tmp_path, steps=20)
        child = held(nursery, tmp_path, job, 2)
        child.kill()
        child.wait()
        assert (tmp_path / "out" / "tiny.lstm.run" / FILE).exists()
        assert nursery.run(tiny.resumed(job))[0] == 0


def test_of_many_runs_that_begin_together_one_gets_the_lock(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt("five runs of one name begin together: one of them trains"):
        job = {**tiny.job(tmp_path, steps=30), "hold_at": 30}
        children = [nursery.start(job) for _ in range(5)]
        end = time.monotonic() + 120
        while sum("is being trained already" in child.said for child in children) < 4:
            assert time.monotonic() < end, [child.said for child in children]
            time.sleep(0.01)
        (tmp_path / "go").touch()
        ends = sorted(child.wait() for child in children)
        assert ends == [0, 1, 1, 1, 1], [child.said for child in children]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[]", b'{"process": 1}', b'{"process": "\\u001b[2J", "machine": 1}']
)
def test_a_strange_lock_file_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "tiny.lstm.run"
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    with RunLock(folder, "tiny.lstm", tmp_path / "tiny.lstm.safetensors"):
        assert str(os.getpid()).encode() in (folder / FILE).read_bytes()
    assert not folder.exists()


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "tiny.lstm.run"
    folder.mkdir()
    ours = [tmp_path / ".tiny.lstm.safetensors.0123abcd.tmp", folder / ".resume.safetensors.89ab4567.tmp"]
    others: list[Any] = [tmp_path / ".tiny.gru.safetensors.0123abcd.tmp", tmp_path / "mine.tmp", folder / "notes.txt"]
    for path in ours + others:
        path.touch()
    with RunLock(folder, "tiny.lstm", tmp_path / "tiny.lstm.safetensors"):
        assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)
