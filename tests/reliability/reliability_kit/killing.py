"""Killing a training run at random moments or at chosen places, resuming it, and comparing what it leaves."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

KILLED = -9


def go_on(nursery: Nursery, job: dict[str, Any], cell: str) -> Any:
    """Start the run, or resume it if it has saved anything; and the steps that were done before."""
    saved = tiny.saved_step(Path(job["folder"]), cell)
    return nursery.start(job if saved is None else tiny.resumed(job)), saved or 0


def check_redone(folder: Path, before: int, saved: int) -> None:
    """No step before the last save was done again."""
    done = tiny.steps_done(folder)[before:]
    assert done == list(range(saved + 1, saved + 1 + len(done)))


def kill_often(nursery: Nursery, job: dict[str, Any], cell: str, kills: int, chance: random.Random) -> int:
    """Kill and resume a run, ``kills`` times at most, then let it end; how often it was killed in fact."""
    folder, killed = Path(job["folder"]), 0
    while True:
        before = len(tiny.steps_done(folder))
        child, saved = go_on(nursery, job, cell)
        if killed < kills:
            wait_for_moment(folder, before, saved, chance)
            child.kill()
        status = child.wait()
        check_redone(folder, before, saved)
        if status == 0:
            return killed
        assert status == KILLED, child.said
        killed += 1


def wait_for_moment(folder: Path, before: int, saved: int, chance: random.Random) -> None:
    """A random moment of a run: so many steps on, and a little; told by steps, since clocks do not know of load."""
    steps, end = chance.randrange(min(30, tiny.STEPS - saved) + 1), time.monotonic() + 600
    while len(tiny.steps_done(folder)) < before + steps:
        assert time.monotonic() < end, "the run does not get on"
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.02 if steps else 0.3))  # 0: it is being loaded


def random_kills(
    nursery: Nursery,
    undisturbed: dict[str, tiny.Outcome],
    ledger: Ledger,
    folder: Path,
    seed: int,
    kills: int,
) -> int:
    """One run, killed at ``kills`` random moments; how many came before its end."""
    chance = random.Random(seed)
    cell = chance.choice(sorted(undisturbed))
    killed = kill_often(nursery, tiny.job(folder, cell), cell, kills, chance)
    with ledger.attempt("kill -9 at a random moment, resumed: the same bits as without", killed):
        assert tiny.outcome(folder, cell) == undisturbed[cell]
        assert not list(folder.glob("out/**/.*")), "something temporary was left"
    return killed


def die_and_go_on(
    nursery: Nursery,
    undisturbed: dict[str, tiny.Outcome],
    ledger: Ledger,
    folder: Path,
    place: int,
    job: dict[str, Any] | None = None,
) -> None:
    """Kill a run as it touches a file for the n-th time, then resume it."""
    with ledger.attempt("kill -9 at a chosen place of a save or of a line of the log: the same bits as without"):
        job = job or tiny.job(folder)
        status, said = nursery.run({**job, "die_at": place})
        assert status == KILLED, said
        assert kill_often(nursery, job, "lstm", 0, random.Random()) == 0
        assert tiny.outcome(folder) == undisturbed["lstm"]
        assert not list(folder.glob("out/**/.*")), "something temporary was left"
