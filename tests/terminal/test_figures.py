"""Measurements of the REPL on a pseudo-terminal, printed: ``pytest -m benchmark tests/terminal/test_figures.py -s``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal_kit.harness import ESC, UP, Terminal

Open = Callable[..., Terminal]
pytestmark = [pytest.mark.benchmark, pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Megabytes that a process holds in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def characters(terminal: Terminal) -> int:
    """How many characters the terminal shows and has shown."""
    return len(terminal.everything)


def test_it_keeps_up_with_the_model_and_keys_act_at_once(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    started, before = time.monotonic(), characters(terminal)
    delays = []
    for turn in range(1, 11):
        pressed = time.monotonic()
        terminal.send(UP)
        terminal.wait(lambda turn=turn: f"T {0.8 + turn * 0.05:.2f}" in terminal.text)
        delays.append(time.monotonic() - pressed)
        until = time.monotonic() + 0.5
        terminal.wait(lambda until=until: time.monotonic() > until)
    rate = (characters(terminal) - before) / (time.monotonic() - started)
    terminal.send(ESC)
    print(f"\n{rate:,.0f} characters a second; a key shows after {1000 * max(delays):.0f} ms at most")
    assert rate > 1000


def test_at_fifty_characters_a_second_it_takes_less_than_half_a_core(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("/speed 50")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    started, before = time.monotonic(), cpu_seconds(terminal.pid)
    terminal.wait(lambda: time.monotonic() > started + 10)
    share = (cpu_seconds(terminal.pid) - before) / (time.monotonic() - started)
    print(f"\n{100 * share:.0f} % of a core at 50 characters a second")
    assert share < 0.5


def test_at_rest_it_takes_next_to_nothing(open_repl: Open) -> None:
    terminal = open_repl("tiny")
    started, before = time.monotonic(), cpu_seconds(terminal.pid)
    terminal.wait(lambda: time.monotonic() > started + 5)
    share = (cpu_seconds(terminal.pid) - before) / (time.monotonic() - started)
    print(f"\n{100 * share:.1f} % of a core at rest")
    assert share < 0.03
