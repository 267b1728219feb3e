"""A very long conversation: memory grows by what the text itself needs, and nothing gets slower."""

from __future__ import annotations

import platform
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal_kit.harness import Terminal
from terminal_kit.talk import Talk

from repl.autosave import Autosave
from repl.page import Page


def grown(tokens: int) -> tuple[float, float]:
    """Bytes a character that a conversation holds in memory, and seconds that saving it takes at its end."""
    talk = Talk("tiny", length=0)
    page, autosave = Page(80), Autosave()
    talk.session.submit("A")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(tokens):
            talk.session.step()
            if number % 100 == 99:
                page.take(talk.events)
                talk.events.clear()
            if number % 5000 == 4999:
                autosave(talk.session, now=True)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    started = time.perf_counter()
    talk.step(1)
    autosave(talk.session, now=True)
    return held / tokens, time.perf_counter() - started


def test_a_long_conversation_holds_a_few_bytes_a_character(here: Path) -> None:
    first, _ = grown(4_000)
    more, _ = grown(12_000)
    assert more < 60
    assert more < first * 1.5


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_characters(here: Path) -> None:
    held, seconds = grown(1_000_000)
    print(f"\n{held:.0f} bytes a character, saved in {seconds:.2f} s")
    assert held < 60


HOLES = """
import pathlib, threading, time
import repl.app

repl.app.TIDY_EVERY = 1.0

def make_holes():
    global kept
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    blocks = [bytes(100_000) + bytes([number % 2]) for number in range(1000)]
    kept = blocks[::50]
    del blocks
    pathlib.Path("held.tmp").write_text(open("/proc/self/statm").read().split()[1])
    pathlib.Path("held.tmp").rename("held")

threading.Thread(target=make_holes, daemon=True).start()
"""
PAGES = 60 << 8
"""60 MB, in pages of 4 KB."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library has no malloc_trim")
def test_a_repl_at_rest_gives_back_what_it_does_not_need(open_repl: Callable[..., Terminal], place: Path) -> None:
    """Here a plugin leaves 98 MB of holes; in a long conversation it is texts that come and go."""
    (place / "holes.py").write_text(HOLES)
    terminal = open_repl("tiny", "-n", "0", "--plugin", "holes.py", real=True)
    (place / "go").touch()
    terminal.wait((place / "held").exists)
    held = int((place / "held").read_text())
    terminal.wait(lambda: int(Path(f"/proc/{terminal.pid}/statm").read_text().split()[1]) < held - PAGES)
