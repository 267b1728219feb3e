"""Fixtures of the reliability tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "terminal"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger


@pytest.fixture(scope="session")
def ledger() -> Iterator[Ledger]:
    """Counts the attempts; written where ``CELLOQUY_LEDGER`` says, for the report."""
    counts = Ledger()
    yield counts
    place = os.environ.get("CELLOQUY_LEDGER")
    if place:
        counts.write(Path(place))


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks children that train, or run the command line."""
    children = Nursery(tmp_path_factory.mktemp("nursery"))
    yield children
    children.close()


@pytest.fixture(scope="session")
def untouched(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tiny.Outcome:
    """What a training run without faults leaves."""
    folder = tmp_path_factory.mktemp("untouched")
    status, said = nursery.run(tiny.job(folder))
    assert status == 0, said
    return tiny.outcome(folder)


@pytest.fixture(scope="session")
def speaker(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a checkpoint ``tiny`` (lstm and gru) was trained, of a size that is written side by side."""
    folder = tmp_path_factory.mktemp("speaker")
    job = tiny.job(folder, "lstm,gru", out="checkpoints", hidden=32, layers=1, steps=30)
    status, said = nursery.run(job)
    assert status == 0, said
    return folder
