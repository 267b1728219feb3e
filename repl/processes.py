"""Continuations shared among processes, so that bulk work has every core of the machine.

A step of a batch is too small for threads: torch's wait for each other at every product, Python's for the interpreter.
A process of its own runs through all steps of its part without waiting. Each is a fork of this one, which has the model
already; it hands its continuations back through a pipe, and ends. One that dies costs time, not text: what it did not
hand back is written here.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repl.batch import Continuation, Job

if TYPE_CHECKING:
    from repl.generator import Writer

Write = Callable[[Sequence[Job]], list[Continuation]]

ROWS_AT_LEAST = 16
"""Continuations of a part: fewer take about as long as these."""

WORTH_IT = 5e9
"""Multiplications from which on a fork is worth it: it takes some hundredths of a second, and they take a twentieth."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when the one that started it ends."""


def cores(writer: Writer) -> int:
    """Processes that can share the work of a writer: torch's number of threads, or 1 where it stays in one.

    In one stays what others must not repeat or forget: samplers of plugins, which are told of what they do wrong; and
    work on another device. Other systems than Linux do not fork safely.
    """
    if not sys.platform.startswith("linux") or writer.loaded.model.readout.bias.device.type != "cpu":
        return 1
    values = writer.settings.values_now
    own = all(entry.builtin for entry in writer.registry.samplers if entry.active(values))
    return torch.get_num_threads() if own else 1


def write_shared(write: Write, jobs: Sequence[Job], work: float, at_most: int) -> list[Continuation]:
    """What ``write(jobs)`` gives, written by ``at_most`` processes at once if there is enough ``work``.

    It is told in multiplications: tokens times parameters.
    """
    count = min(at_most, len(jobs) // ROWS_AT_LEAST)
    if count <= 1 or work < WORTH_IT:
        return write(jobs)
    edges = [len(jobs) * number // count for number in range(count + 1)]
    parts = [jobs[start:end] for start, end in itertools.pairwise(edges)]
    running: list[_Process] = []
    try:
        running.extend(_started(write, part) for part in parts[1:])
        made = list(write(parts[0]))
        for process in running:
            made += process.result() or write(process.jobs)
        return made
    finally:
        for process in running:
            process.end()


@dataclass
class _Process:
    """A fork that writes: its number, the pipe it hands its continuations through, and what it was to write."""

    pid: int
    pipe: int
    jobs: Sequence[Job]
    ended: bool = False

    def result(self) -> list[Continuation] | None:
        """What it wrote, once it has; None if it did not come to its end."""
        with os.fdopen(os.dup(self.pipe), encoding="ascii") as handed:
            lines = handed.read().splitlines()
        self.ended = os.waitpid(self.pid, 0)[0] == self.pid
        if len(lines) != len(self.jobs) + 1:  # the last line says that it is the last
            return None
        return [Continuation(job, *json.loads(line)) for job, line in zip(self.jobs, lines, strict=False)]

    def end(self) -> None:
        """Stop it if it still runs: nobody waits for it any more."""
        os.close(self.pipe)
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _started(write: Write, jobs: Sequence[Job]) -> _Process:
    out, into = os.pipe()
    with warnings.catch_warnings():  # torch has threads, which sleep: nothing here asks anything of them
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(out)
        _hand_back(write, jobs, into)
    os.close(into)
    return _Process(pid, out, jobs)


def _hand_back(write: Write, jobs: Sequence[Job], into: int) -> None:
    """In the fork: write, hand back, and leave without anything that the other process would do at its end."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody is left to read what it writes
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what is wrong is said once, by the one that waits
        torch.set_num_threads(1)
        lines = [json.dumps([done.seed, done.text, done.tokens, done.nats, done.finish]) for done in write(jobs)]
        with os.fdopen(into, "w", encoding="ascii") as pipe:
            pipe.write("\n".join([*lines, "end"]))
    finally:
        os._exit(0)
