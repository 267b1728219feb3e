"""A writer takes no more memory than it needs, however long it is used, and gives back what it took."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from repl.generator import Writer

READING = """
import celloquy

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

writer = celloquy.load("shakespeare", cell="lstm")
writer.feed("a" * 1000)
before = resident()
for length in range(600, 0, -3):
    writer.reset()
    writer.feed("a" * length)
print(resident() - before)
"""
ROOM = 90.0
"""Megabytes: with all that it would keep it takes 250, with as much as it may 30."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_prompts_of_ever_other_lengths_do_not_fill_the_memory() -> None:
    """oneDNN would keep what it compiled for each length."""
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", READING], cwd=root, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) < ROOM


def test_a_writer_is_freed_as_soon_as_nobody_has_it(write: Callable[..., Writer]) -> None:
    """With its packed weights; a comparison makes one for each cell."""
    made = write()
    made.settings["seed"] = 3
    assert made.seed == 3
    made.generate("A", 5)
    list(made.stream("B", 5))
    gone = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert gone() is None
    finally:
        gc.enable()
