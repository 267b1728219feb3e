"""kill -9 at any moment of a run: it can be resumed, and ends with the bits of a run that nobody touched."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.killing import die_and_go_on, random_kills
from reliability_kit.ledger import Ledger


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tiny.Outcome]:
    """What an uninterrupted run of each cell leaves."""
    outcomes = {}
    for cell in ("lstm", "gru"):
        folder = tmp_path_factory.mktemp(cell)
        status, said = nursery.run(tiny.job(folder, cell))
        assert status == 0, said
        outcomes[cell] = tiny.outcome(folder, cell)
    return outcomes


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


@pytest.mark.parametrize("kind", tiny.LABELLED)
def test_a_run_on_labelled_text_killed_in_the_middle_of_a_save_ends_with_the_same_bits(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, kind: str
) -> None:
    status, said = nursery.run(tiny.labelled_job(tmp_path / "whole", kind))
    assert status == 0, said
    undisturbed = {"lstm": tiny.outcome(tmp_path / "whole")}
    for place in random.Random(kind).sample(range(2, 40), 4):
        folder = tmp_path / str(place)
        die_and_go_on(nursery, undisturbed, ledger, folder, place, tiny.labelled_job(folder, kind))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_every_place_where_it_touches_a_file(
    nursery: Nursery, undisturbed: Any, ledger: Ledger, tmp_path: Path
) -> None:
    for place in range(1, places_of(nursery, tmp_path / "counted") * 2 // 3):
        die_and_go_on(nursery, undisturbed, ledger, tmp_path / str(place), place)
