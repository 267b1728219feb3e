"""Many continuations are shared among processes, and nobody can tell from the texts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from cells.errors import CelloquyError
from repl import processes
from repl.batch import Continuation, Job
from repl.generation import Generation
from repl.generator import Writer
from repl.processes import WORTH_IT, cores, write_shared

Make = Callable[..., Writer]
JOBS = [Job("To be", sample) for sample in range(70)]


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of the processes that were started; all have ended when the test has."""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    started: list[int] = []
    real = os.fork

    def fork() -> int:
        pid = real()
        if pid:
            started.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield started
    torch.set_num_threads(before)
    for pid in started:
        with pytest.raises(ChildProcessError):  # ended, and waited for
            os.waitpid(pid, os.WNOHANG)


@pytest.mark.parametrize("stops", [(), ("e", "ar")])
def test_three_processes_write_what_one_writes(
    write: Make, forks: list[int], monkeypatch: pytest.MonkeyPatch, stops: tuple[str, ...]
) -> None:
    monkeypatch.setattr(processes, "WORTH_IT", 1e6)
    writer = write(seed=5)
    generation = Generation(writer, 90, stops, samples=70)
    assert cores(writer) == 3
    shared = list(generation._continuations(["To be"]))
    assert len(forks) == 2
    assert shared == writer.continuations(JOBS, 90, stop=stops, seed=5)


def test_texts_that_json_would_mangle_come_back_as_they_were(forks: list[int]) -> None:
    texts = ["\x00\x1b[31m", "你好\n", "\ud800", '"\\', "", "\u2028"]
    made = [Continuation(job, 1 << 70, texts[job.sample % 6], 3, 0.1 + 0.2, "stop") for job in JOBS]
    assert write_shared(lambda jobs: [made[job.sample] for job in jobs], JOBS, WORTH_IT, 3) == made
    assert len(forks) == 2


def test_what_a_killed_process_did_not_write_is_written_here(forks: list[int]) -> None:
    here = os.getpid()

    def write(jobs: Sequence[Job]) -> list[Continuation]:
        if os.getpid() != here and jobs[-1] is JOBS[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return [Continuation(job, os.getpid(), "x", 1, 0.5, "length") for job in jobs]

    made = write_shared(write, JOBS, WORTH_IT, 3)
    assert [done.job for done in made] == JOBS
    assert {done.seed for done in made} == {here, forks[0]}


def test_an_error_is_told_by_the_process_that_waits(forks: list[int]) -> None:
    here = os.getpid()

    def write(jobs: Sequence[Job]) -> list[Continuation]:
        if jobs[0] is not JOBS[0]:
            raise CelloquyError(f"no text in {os.getpid()}")
        return [Continuation(job, here, "x", 1, 0.5, "length") for job in jobs]

    with pytest.raises(CelloquyError, match=f"no text in {here}"):
        write_shared(write, JOBS, WORTH_IT, 3)
    assert len(forks) == 2


def test_an_interruption_stops_them_all(forks: list[int]) -> None:
    here = os.getpid()

    def write(jobs: Sequence[Job]) -> list[Continuation]:
        if os.getpid() == here:
            raise KeyboardInterrupt
        time.sleep(600)
        return []

    with pytest.raises(KeyboardInterrupt):
        write_shared(write, JOBS, WORTH_IT, 3)
    assert len(forks) == 2


SLEEPING = """
import os, time
from repl import processes
from repl.batch import Job
from repl.processes import WORTH_IT, write_shared

def write(jobs):
    print(os.getpid(), flush=True)
    time.sleep(600)

write_shared(write, [Job("a", n) for n in range(64)], WORTH_IT, 2)
"""


def test_nothing_writes_on_when_the_first_process_is_killed(forks: list[int]) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEPING], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert len({process.stdout.readline() for _ in range(2)}) == 2
    process.kill()
    assert process.wait() == -signal.SIGKILL
    with process.stdout:
        assert process.stdout.read() == ""  # ends when nobody holds the other end any more


def test_compiled_steps_are_made_once_in_one_process(
    write: Make, forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WORTH_IT", 1e6)
    writer = write(seed=5)
    made = [Continuation(job, 5, "x", 90, 0.5, "length") for job in JOBS]
    monkeypatch.setattr(
        writer, "continuations", lambda jobs, *_, compile, **__: [made[job.sample] for job in jobs if compile]
    )
    assert list(Generation(writer, 90, samples=70, compile=True)._continuations(["To be"])) == made
    assert not forks


def test_little_work_stays_in_one_process(write: Make, forks: list[int]) -> None:
    generation = Generation(write(seed=5), 10, samples=70)
    assert len(list(generation._continuations(["To be"]))) == 70
    assert not forks


def test_what_a_plugin_changes_stays_in_one_process(write: Make, forks: list[int]) -> None:
    writer = write(seed=5, top_k=4)
    assert cores(writer) == 3
    for entry in writer.registry.samplers:
        if entry.name == "top-k":
            entry.builtin = False
            break
    try:
        assert cores(writer) == 1
    finally:
        entry.builtin = True
