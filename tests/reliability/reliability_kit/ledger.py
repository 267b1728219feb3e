"""How often each promise was attacked, and how often it held; ``report.py`` prints it as a table."""

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

    @contextlib.contextmanager
    def attempt(self, promise: str, times: int = 1) -> Iterator[None]:
        """One attack on ``promise``, or as many as ``times`` says."""
        self.tried[promise] = self.tried.get(promise, 0) + times
        yield
        self.survived[promise] = self.survived.get(promise, 0) + times

    def write(self, path: Path) -> None:
        """Keep the counts for the report."""
        rows = [[promise, tried, self.survived.get(promise, 0)] for promise, tried in self.tried.items()]
        path.write_text(json.dumps(rows), encoding="utf-8")
