"""Fixtures of the reliability tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

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
    """Forks children that train."""
    children = Nursery(tmp_path_factory.mktemp("nursery"))
    yield children
    children.close()
