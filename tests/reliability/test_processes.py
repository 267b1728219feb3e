"""Several processes train as one does; when one is lost, nothing hangs and the run goes on from what was saved."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import ROOT, Child, Nursery
from reliability_kit.ledger import Ledger

from checkpoints.digest import description
from checkpoints.files import load_tensors, save_safetensors
from checkpoints.tensor_table import read_table

PROMISE = "several processes: as one, and a lost one ends the run with what was saved"
KILLED = "kill -9 of one process of two, or of both, at random moments and in a save, resumed: the same bits as without"


def start(nursery: Nursery, job: dict[str, Any], count: int = 2, first: Any = (), last: Any = ()) -> list[Child]:
    """The processes of one run, as torchrun would start them; ``first`` and ``last`` are the faults of these two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    children = []
    for rank in range(count):
        environ = {**place, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)}
        faults = dict(first if rank == 0 else last if rank == count - 1 else ())
        children.append(nursery.start({**job, "environ": environ, **faults}))
    return children


def end(children: list[Child]) -> list[int]:
    return [child.wait() for child in children]


def run(nursery: Nursery, job: dict[str, Any], count: int = 2) -> list[Child]:
    children = start(nursery, job, count)
    assert end(children) == [0] * count, [child.said for child in children]
    return children


def wait_for_save(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not tiny.saved_step(folder):
        assert time.monotonic() < deadline, "the run does not go on"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tiny.Outcome:
    folder = tmp_path_factory.mktemp("two")
    run(nursery, tiny.job(folder))
    return tiny.outcome(folder)


def test_two_processes_find_the_losses_that_one_finds(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE):
        alone, together = (tiny.job(tmp_path / name, dropout=0.0, sample_every=0) for name in ("alone", "together"))
        assert nursery.run(alone)[0] == 0
        first, second = run(nursery, together)
        assert "2 processes" in first.said
        assert second.said == "", "one process speaks"
        one, two = (tiny.outcome(Path(job["folder"])) for job in (alone, together))
        assert len(one.log) == len(two.log) > 9
        for expected, found in zip(one.log, two.log, strict=True):
            assert expected.keys() == found.keys()
            for key, value in expected.items():
                assert found[key] == (pytest.approx(value, abs=1e-4) if isinstance(value, float) else value)


def test_a_killed_process_ends_the_run_and_it_goes_on_to_the_same_bits(
    nursery: Nursery, undisturbed: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    for victim in (1, 0):
        with ledger.attempt(PROMISE):
            folder = tmp_path / str(victim)
            job = {**tiny.job(folder), "pause": 0.05}
            children = start(nursery, job)
            wait_for_save(folder)
            children[victim].kill(signal.SIGKILL)
            statuses = end(children)
            assert (statuses[victim], statuses[1 - victim]) == (-signal.SIGKILL, 1)
            told = children[1 - victim].said.splitlines()[-1]
            assert told.startswith("error: another process of this run is gone")
            run(nursery, tiny.resumed(tiny.job(folder)))
            assert tiny.outcome(folder) == undisturbed


def test_a_signal_to_one_process_stops_all_of_them_tidily(
    nursery: Nursery, undisturbed: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt(PROMISE):
        first, second = start(nursery, {**tiny.job(tmp_path), "pause": 0.05})
        wait_for_save(tmp_path)
        second.kill(signal.SIGTERM)
        second.kill(signal.SIGTERM)  # as torchrun does, which passes on what the terminal has sent already
        assert end([first, second]) == [143, 143]
        assert "saved; go on with: torchrun --nproc-per-node 2 --module celloquy train" in first.said
        assert second.said == ""
        run(nursery, tiny.resumed(tiny.job(tmp_path)))
        assert tiny.outcome(tmp_path) == undisturbed


def test_all_go_back_together_when_the_run_diverges(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE):
        first, _ = children = start(nursery, tiny.job(tmp_path), last={"poison_at": [33]})
        assert end(children) == [0, 0], first.said
        assert "half the learning rate" in first.said
        assert [line["step"] for line in tiny.outcome(tmp_path).log if line["event"] == "done"] == [tiny.STEPS]


def test_a_run_goes_on_with_as_many_processes_only_and_with_equal_shares(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt(PROMISE):
        job = tiny.job(tmp_path, steps=2)
        run(nursery, job)
        status, said = nursery.run(tiny.resumed(job))
        assert status == 1
        assert "was begun by 2 processes and cannot go on with 1; go on with torchrun --nproc-per-node 2" in said
        children = start(nursery, tiny.job(tmp_path, name="other", batch=3))
        assert end(children) == [1, 1]
        assert children[0].said == "error: a batch of 3 rows cannot be shared equally by 2 processes; give --batch\n"
        assert children[1].said == ""


def test_a_first_process_that_cannot_write_tells_why_and_nobody_waits_for_it(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt(PROMISE):
        full = {"refuse_at": 12, "errno": errno.ENOSPC, "for_good": True}
        children = start(nursery, tiny.job(tmp_path), first=full)
        assert end(children) == [1, 1]
        assert "No space left on device" in children[0].said
        assert children[1].said.count("\n") <= 1


def test_what_one_process_cannot_resume_from_is_told_once(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    run(nursery, tiny.job(tmp_path, steps=2))
    folder = tmp_path / "out" / "tiny.lstm.run"
    state, log = folder / "resume.safetensors", folder / "log.jsonl"
    raw = state.read_bytes()

    def forget(*lost: str) -> None:
        table, tensors = read_table(state), load_tensors(state)
        save_safetensors(state, {n: t for n, t in tensors.items() if not n.startswith(lost)}, description(table))

    def another_count() -> None:
        described = json.loads(description(read_table(state)))
        described["machine"]["ranks"] = 3
        save_safetensors(state, load_tensors(state), json.dumps(described))

    spoilt = {
        "process 1: the resume state is damaged: it has no random state": lambda: forget("random.cpu1"),
        "does not fit the model: its carried state": lambda: forget("state."),
        "was begun by 3 processes and cannot go on with 2": another_count,
        "there is no out/tiny.lstm.run/resume.safetensors": state.unlink,
        "log.jsonl could not be written: Is a directory": lambda: (log.unlink(), log.mkdir()),
    }
    for said, spoil in spoilt.items():
        with ledger.attempt(PROMISE):
            state.write_bytes(raw)
            spoil()
            children = start(nursery, tiny.resumed(tiny.job(tmp_path, steps=4)))
            assert end(children) == [1, 1]
            errors = [line for child in children for line in child.said.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1
            assert said in errors[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_killed_at_any_moment_go_on_to_the_same_bits(
    nursery: Nursery, undisturbed: tiny.Outcome, ledger: Ledger, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for number in range(24):
        with ledger.attempt(KILLED):
            folder = tmp_path / str(number)
            job = tiny.job(folder)
            for _ in range(chance.choice((1, 2, 3))):
                going = tiny.resumed(job) if tiny.saved_step(folder) is not None else job
                if number % 4 == 3:
                    end(start(nursery, {**going, "save_always": 1}, first={"die_at": chance.randrange(1, 120)}))
                    continue
                step = chance.randrange((tiny.saved_step(folder) or 0) + 1, tiny.STEPS)
                children = start(nursery, {**going, "pause": 0.02})
                wait_for_step(folder, step, children)
                for victim in ((0,), (1,), chance.choice(((0, 1), (1, 0))))[number % 4]:
                    children[victim].kill(signal.SIGKILL)
                assert -signal.SIGKILL in end(children)
            run(nursery, tiny.resumed(job) if tiny.saved_step(folder) is not None else job)
            assert tiny.outcome(folder) == undisturbed


def wait_for_step(folder: Path, step: int, children: list[Child]) -> None:
    """Until a process that is alive now has done this step."""
    before, deadline = len(tiny.steps_done(folder)), time.monotonic() + 60
    while step not in tiny.steps_done(folder)[before:]:
        assert time.monotonic() < deadline, [child.said for child in children]
        time.sleep(0.003)


@pytest.mark.slow
def test_torchrun_trains_and_a_process_killed_under_it_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(tiny.text(), encoding="utf-8")
    small = ["--name", "tiny", "--hidden", "12", "--batch", "4", "--bptt", "16", "--precision", "fp32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--module", "celloquy", "train"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "CELLOQUY_HOME": str(tmp_path / "home")}

    def begin(*more: str) -> subprocess.Popen[str]:
        command = [*torchrun, "corpus.txt", *small, *more]
        return subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True)

    process = begin("--minutes", "5")
    log = tmp_path / "checkpoints" / "tiny.lstm.run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or '"step": 50' not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "error: another process of this run is gone" in said
    resumed = begin("--resume", "--steps", "60")
    _, said = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, said
    assert "of 60 steps" in said
