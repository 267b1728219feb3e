"""How fast and how sure the model writes: tokens a second, and the last surprises as a sparkline."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

BITS = 1 / math.log(2)
"""Bits in a nat."""
FULL_SCALE = 8.0
"""Bits at which a bar is full: the surprise of one character out of 256 equally likely ones."""
_BARS = "▁▂▃▄▅▆▇█"


class Meter:
    """Counts tokens over the last second; a pause neither counts nor resets."""

    WINDOW = 1.0
    LAST = 16

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spans: deque[tuple[float, int]] = deque()
        self._since = clock()
        self._count = 0
        self.rate = 0.0
        self.surprises: tuple[float, ...] = ()

    def start(self) -> None:
        """A stream begins or goes on: what lies before is no part of its speed."""
        self._spans.clear()
        self._since = self._clock()
        self._count = 0

    def burst(self, tokens: int, seconds: float) -> None:
        """Many tokens were drawn at once."""
        self.rate = tokens / max(seconds, 1e-9)

    def note(self, surprise: float) -> None:
        """One surprise, in nats, for the sparkline."""
        # A new tuple each time: the screen reads it in another thread than the one that writes.
        self.surprises = (*self.surprises[1 - self.LAST :], surprise * BITS)

    def add(self, surprise: float) -> None:
        """One token was drawn; ``surprise`` in nats."""
        self.note(surprise)
        self._count += 1
        now = self._clock()
        if now - self._since < 0.1:
            return
        self._spans.append((now - self._since, self._count))
        self._since, self._count = now, 0
        while len(self._spans) > 1 and sum(seconds for seconds, _ in self._spans) > self.WINDOW:
            self._spans.popleft()
        self.rate = sum(count for _, count in self._spans) / sum(seconds for seconds, _ in self._spans)

    @property
    def bits(self) -> float | None:
        """The mean of the last surprises in bits a token."""
        last = self.surprises
        return sum(last) / len(last) if last else None


def sparkline(bits: Iterable[float], full: float = FULL_SCALE) -> str:
    """A bar for each value: the lowest for no surprise at all, the highest for ``full`` bits and more."""
    return "".join(_BARS[_level(value / full, len(_BARS))] for value in bits)


def _level(share: float, levels: int) -> int:
    return max(0, int(share * levels)) if share < 1 else levels - 1
