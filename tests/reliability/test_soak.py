"""Soaking: the REPL under random keys, and training under random kills. A minute here, an hour by name.

CELLOQUY_SOAK_SECONDS=3600 python -m pytest -m slow tests/reliability/test_soak.py
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.growth import ENOUGH, resident, rise
from reliability_kit.killing import random_kills
from reliability_kit.ledger import Ledger
from reliability_kit.soaking import soaked

HOUR = float(os.environ.get("CELLOQUY_SOAK_SECONDS", "3600"))
LONG = pytest.param(HOUR, marks=[pytest.mark.slow, pytest.mark.timeout(3 * HOUR + 600)])
SEEDS = (1, 2, 3)
"""Each gets its share of the time; the REPL is the same for all."""
ROUND = 30.0
"""Seconds of torment between two looks at whether anything was lost."""
RISE = 8.0
"""Megabytes by which it may be larger late than early, half the time later: fragments, while texts come and go."""
WARM = 60.0
"""Megabytes by which it may grow where there are too few looks to tell growth from warming up."""
ALIVE = "soak, seconds of random keys, commands, pastes, signals and sizes: alive, the text kept"
WHOLE = "soak, a text written while knobs turn, lists open and it pauses: all of it on the terminal"
SMALL = "soak, resident memory at many looks over the whole time: not larger late than early, but for fragments"
UNTOUCHED = "soak, a training run beside those that are killed: saved when told to end, not larger late than early"
PAUSE = 0.05
"""Seconds that each step of it lasts longer, so that the others get on."""
ATTACKS = "soak, attacks sent, thousands"
REPL_SIZE = "soak, resident megabytes of the REPL"
TRAINING_SIZE = "soak, resident megabytes of a training run"


def check_size(looks: list[float]) -> None:
    """No leak: what is held at rest, with a short text, does not go on growing."""
    if len(looks) >= ENOUGH:
        assert rise(looks) < RISE, f"it grew by {rise(looks):.1f} MB; megabytes at each look: {looks}"
    else:
        assert looks[-1] < looks[0] + WARM, f"megabytes at each look: {looks}"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("seconds", [24.0, LONG])
def test_the_repl_survives_random_keys_and_commands(
    speaker: Path, ledger: Ledger, tmp_path: Path, seconds: float
) -> None:
    (tmp_path / "checkpoints").symlink_to(speaker / "checkpoints")
    seeds = SEEDS if seconds > 60 else SEEDS[:1]
    looks: list[float] = []
    with soaked(tmp_path) as soak:
        begin = time.monotonic()
        for number, seed in enumerate(seeds, 1):
            soak.begin(seed)
            while (left := begin + seconds * number / len(seeds) - time.monotonic()) > 0:
                share = min(left, ROUND, seconds / 2)
                with ledger.attempt(ALIVE, round(share)):
                    soak.torment(share)
                    soak.calm()
                    soak.check_it_is_kept()
                with ledger.attempt(WHOLE):
                    soak.check_nothing_is_lost()
                looks.append(soak.memory)
                minute = (time.monotonic() - begin) / 60
                ledger.look(REPL_SIZE, minute, looks[-1])
                ledger.look(ATTACKS, minute, soak.sent / 1000)
                print(f"minute {minute:.1f}: {soak.sent} attacks, {looks[-1]:.1f} MB", flush=True)
        soak.leave()
    with ledger.attempt(SMALL):
        check_size(looks)


def test_a_leak_of_a_megabyte_a_minute_is_found_in_an_hour() -> None:
    chance = random.Random(4)
    level = [270 - 60 * 0.8**minute + chance.uniform(-4, 4) for minute in range(60)]
    check_size(level)
    with pytest.raises(AssertionError, match="it grew by"):
        check_size([size + minute for minute, size in enumerate(level)])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("seconds", [15.0, LONG])
def test_training_survives_random_kills_for_long(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, seconds: float
) -> None:
    assert nursery.run(tiny.job(tmp_path / "untouched"))[0] == 0
    undisturbed = {"lstm": tiny.outcome(tmp_path / "untouched")}
    endless = {**tiny.job(tmp_path / "endless", steps=10_000_000), "pause": PAUSE, "save_seconds": 1.0}
    beside, looks = nursery.start(endless), list[float]()  # nobody kills it, so that growth would be seen
    tiny.wait_for(tmp_path / "endless" / "steps.txt", beside)
    begin, seed, killed = time.monotonic(), 1000, 0
    while (passed := time.monotonic() - begin) < seconds:
        seed += 1
        killed += random_kills(nursery, undisturbed, ledger, tmp_path / str(seed), seed, 8)
        looks.append(resident(beside.pid))
        ledger.look(TRAINING_SIZE, passed / 60, looks[-1])
        print(f"minute {passed / 60:.1f}: {killed} kills, {looks[-1]:.1f} MB", flush=True)
    assert killed > 0
    with ledger.attempt(UNTOUCHED):
        beside.kill(signal.SIGTERM)
        assert beside.wait() == 143, beside.said
        done = tiny.steps_done(tmp_path / "endless")
        assert done == list(range(1, len(done) + 1))
        assert tiny.saved_step(tmp_path / "endless") == len(done)
        check_size(looks)
