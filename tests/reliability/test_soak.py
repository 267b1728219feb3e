"""Soaking: the REPL under random keys, and training under random kills. A minute here, an hour by name.

CELLOQUY_SOAK_SECONDS=3600 python -m pytest -m slow tests/reliability/test_soak.py
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.killing import random_kills
from reliability_kit.ledger import Ledger
from reliability_kit.soaking import soaked

HOUR = float(os.environ.get("CELLOQUY_SOAK_SECONDS", "3600"))
LONG = pytest.param(HOUR, marks=[pytest.mark.slow, pytest.mark.timeout(3 * HOUR + 600)])
SEEDS = (1, 2, 3)
"""Each gets its share of the time."""
ROUND = 15.0
"""Seconds of torment between two looks at whether anything was lost."""
GROWTH = 60.0
"""Megabytes that a REPL may grow after its first round: fragments and caches, while texts come and go."""
ALIVE = "soak, seconds of random keys, commands, pastes, signals and sizes: alive, the text kept, no larger"
WHOLE = "soak, a text written while knobs turn, lists open and it pauses: all of it on the terminal"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("seconds", [24.0, LONG])
def test_the_repl_survives_random_keys_and_commands(
    speaker: Path, ledger: Ledger, tmp_path: Path, seconds: float
) -> None:
    (tmp_path / "checkpoints").symlink_to(speaker / "checkpoints")
    seeds = SEEDS if seconds > 60 else SEEDS[:1]
    for seed in seeds:
        left, sizes = seconds / len(seeds), []
        with soaked(tmp_path, seed) as soak:
            while left > 0:
                share = min(left, ROUND if seconds > 60 else seconds / 2)
                left -= share
                with ledger.attempt(ALIVE, round(share)):
                    soak.torment(share)
                    soak.calm()
                    soak.check_it_is_kept()
                with ledger.attempt(WHOLE):
                    soak.check_nothing_is_lost()
                sizes.append(soak.memory)
                assert sizes[-1] < sizes[0] + GROWTH, f"megabytes after each round: {sizes}"
            soak.leave()
        print(f"seed {seed}: {soak.sent} attacks, {sizes[0]:.0f} MB at first, {sizes[-1]:.0f} MB at last")


@pytest.mark.parametrize("seconds", [15.0, LONG])
def test_training_survives_random_kills_for_long(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, seconds: float
) -> None:
    assert nursery.run(tiny.job(tmp_path / "untouched"))[0] == 0
    undisturbed = {"lstm": tiny.outcome(tmp_path / "untouched")}
    end, seed, killed = time.monotonic() + seconds, 1000, 0
    while time.monotonic() < end:
        seed += 1
        killed += random_kills(nursery, undisturbed, ledger, tmp_path / str(seed), seed, 8)
    assert killed > 0
    print(f"{killed} kills of {seed - 1000} runs")
