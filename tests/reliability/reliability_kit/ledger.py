"""How often each promise was attacked and how often it held, and figures over time; ``report.py`` prints them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path


class Ledger:
    """Counts attempts by promise. An attempt survives if its block ends without an exception."""

    def __init__(self) -> None:
        self.tried: dict[str, int] = {}
        self.survived: dict[str, int] = {}
        self.curves: dict[str, list[tuple[float, float]]] = {}

    @contextlib.contextmanager
    def attempt(self, promise: str, times: int = 1) -> Iterator[None]:
        """One attack on ``promise``, or as many as ``times`` says."""
        self.tried[promise] = self.tried.get(promise, 0) + times
        yield
        self.survived[promise] = self.survived.get(promise, 0) + times

    def look(self, curve: str, minute: float, value: float) -> None:
        """A point of a figure that is followed over time."""
        self.curves.setdefault(curve, []).append((round(minute, 2), round(value, 1)))

    def write(self, path: Path) -> None:
        """Keep counts and curves for the report."""
        counts = [[promise, tried, self.survived.get(promise, 0)] for promise, tried in self.tried.items()]
        path.write_text(json.dumps({"counts": counts, "curves": self.curves}), encoding="utf-8")
