"""kill -9 at any moment of a run: it can be resumed, and ends with the bits of a run that nobody touched."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

KILLED = -9


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[tiny.Outcome, float]]:
    """What an uninterrupted run of each cell leaves, and how long it takes."""
    outcomes = {}
    for cell in ("lstm", "gru"):
        folder = tmp_path_factory.mktemp(cell)
        began = time.monotonic()
        status, said = nursery.run(tiny.job(folder, cell))
        assert status == 0, said
        outcomes[cell] = (tiny.outcome(folder, cell), time.monotonic() - began)
    return outcomes


def go_on(nursery: Nursery, job: dict[str, Any], cell: str) -> Any:
    """Start the run, or resume it if it has saved anything; and the steps that were done before."""
    saved = tiny.saved_step(Path(job["folder"]), cell)
    return nursery.start(job if saved is None else tiny.resumed(job)), saved or 0


def check_redone(folder: Path, before: int, saved: int) -> None:
    """No step before the last save was done again."""
    done = tiny.steps_done(folder)[before:]
    assert done == list(range(saved + 1, saved + 1 + len(done)))


def kill_often(nursery: Nursery, job: dict[str, Any], cell: str, kills: int, chance: random.Random, span: float) -> int:
    """Kill and resume a run, ``kills`` times at most, then let it end; how often it was killed in fact."""
    folder, killed = Path(job["folder"]), 0
    while True:
        before = len(tiny.steps_done(folder))
        child, saved = go_on(nursery, job, cell)
        if killed < kills:
            time.sleep(chance.uniform(0.0, span))
            child.kill()
        status = child.wait()
        check_redone(folder, before, saved)
        if status == 0:
            return killed
        assert status == KILLED, child.said
        killed += 1


def random_kills(
    nursery: Nursery,
    undisturbed: dict[str, tuple[tiny.Outcome, float]],
    ledger: Ledger,
    folder: Path,
    seed: int,
    kills: int,
) -> int:
    """One run, killed at ``kills`` random moments; how many came before its end."""
    chance = random.Random(seed)
    cell = chance.choice(sorted(undisturbed))
    wanted, seconds = undisturbed[cell]
    killed = kill_often(nursery, tiny.job(folder, cell), cell, kills, chance, 0.5 * seconds)
    with ledger.attempt("kill -9 at a random moment, resumed: the same bits as without", killed):
        assert tiny.outcome(folder, cell) == wanted
        assert not list(folder.glob("out/**/.*")), "something temporary was left"
    return killed


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_one_that_was_not(
    nursery: Nursery, undisturbed: Any, ledger: Ledger, tmp_path: Path, seed: int
) -> None:
    random_kills(nursery, undisturbed, ledger, tmp_path, seed, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_at_random_moments(nursery: Nursery, undisturbed: Any, ledger: Ledger, tmp_path: Path) -> None:
    killed, seed = 0, 100
    while killed < 50:
        seed += 1
        killed += random_kills(nursery, undisturbed, ledger, tmp_path / str(seed), seed, 6)


def die_and_go_on(
    nursery: Nursery, undisturbed: dict[str, tuple[tiny.Outcome, float]], ledger: Ledger, folder: Path, place: int
) -> None:
    """Kill a run as it touches a file for the n-th time, then resume it."""
    with ledger.attempt("kill -9 in the middle of a save or a line of the log: the same bits as without"):
        job = tiny.job(folder)
        status, said = nursery.run({**job, "die_at": place})
        assert status == KILLED, said
        assert kill_often(nursery, job, "lstm", 0, random.Random(), 0) == 0
        assert tiny.outcome(folder) == undisturbed["lstm"][0]
        assert not list(folder.glob("out/**/.*")), "something temporary was left"


def places_of(nursery: Nursery, folder: Path) -> int:
    """How often a run touches a file, about; saves depend on the clock."""
    status, said = nursery.run({**tiny.job(folder), "count": True})
    assert status == 0, said
    return int((folder / "places.txt").read_text(encoding="ascii"))


def test_a_run_killed_in_the_middle_of_a_save_ends_with_the_bits_of_one_that_was_not(
    nursery: Nursery, undisturbed: Any, ledger: Ledger, tmp_path: Path
) -> None:
    places = places_of(nursery, tmp_path / "counted")
    chance = random.Random(7)
    chosen = [*range(1, 9), *chance.sample(range(9, places * 2 // 3), 6)]  # the first save, and any later ones
    for place in chosen:
        die_and_go_on(nursery, undisturbed, ledger, tmp_path / str(place), place)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_every_place_where_it_touches_a_file(
    nursery: Nursery, undisturbed: Any, ledger: Ledger, tmp_path: Path
) -> None:
    for place in range(1, places_of(nursery, tmp_path / "counted") * 2 // 3):
        die_and_go_on(nursery, undisturbed, ledger, tmp_path / str(place), place)
