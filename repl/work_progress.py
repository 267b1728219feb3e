"""How far long work is, on standard error: a line that is redrawn on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time

from checkpoints.progress import can_redraw, clock
from repl.streams import is_terminal

AFTER_SECONDS = 2.0
"""Work that is done sooner says nothing of itself on a terminal."""

REDRAW_SECONDS = 0.2
PLAIN_SECONDS = 5.0


class WorkProgress:
    """Counts what is done. On a terminal it shows by itself, unless the results go there too; else only if asked."""

    def __init__(self, what: str, total: int | None, asked: bool = False) -> None:
        self._what = what
        self._total = total
        seen = is_terminal(sys.stderr) and not is_terminal(sys.stdout)
        self._live = seen and can_redraw()
        self._on = asked or seen
        self._began = time.monotonic()
        self._due = self._began + (PLAIN_SECONDS if not self._live else AFTER_SECONDS)
        self._done = 0
        self._tokens = 0
        self._asked = asked
        self._drawn = False

    def add(self, count: int, tokens: int) -> None:
        """So many more are done, made of so many tokens."""
        self._done += count
        self._tokens += tokens
        now = time.monotonic()
        if self._on and now >= self._due:
            self._due = now + (REDRAW_SECONDS if self._live else PLAIN_SECONDS)
            self._show(now)

    def _show(self, now: float) -> None:
        if self._live:
            print(f"\r\x1b[K{self.line(now)}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            print(self.line(now), file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        """``120 of 1,000 lines, 3,456 tokens/s, 0:42 left``."""
        seconds = max(now - self._began, 1e-9)
        text = f"{self._done:,}{'' if self._total is None else f' of {self._total:,}'} {self._what}"
        text += f", {self._tokens / seconds:,.0f} tokens/s"
        if self._total and self._done:
            text += f", {clock(seconds * max(0, self._total - self._done) / self._done)} left"
        return text

    def close(self) -> None:
        """The work is over: the redrawn line goes away; who asked is told how it ended."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self._asked:
            print(self.line(time.monotonic()), file=sys.stderr, flush=True)
