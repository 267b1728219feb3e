"""A very long conversation: memory grows by what the text itself needs, and nothing gets slower."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
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
