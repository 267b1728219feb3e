"""Cells side by side: each goes on from the same prompt with the same random numbers, a token each in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plugins.guard import one_line
from repl.events import Table
from repl.meter import BITS

if TYPE_CHECKING:
    from repl.generator import Writer


class Column:
    """One cell's continuation: its text, how long it took, and how surprised the model was."""

    def __init__(self, writer: Writer, prompt: str) -> None:
        self.title = writer.cell_name
        self.text = ""
        self.failure = ""
        self.writer = writer
        self._tokens = 0
        self._seconds = 0.0
        self._nats = 0.0
        writer.feed(prompt)

    def step(self) -> float:
        """One token; its surprise in nats."""
        started = time.perf_counter()
        piece = self.writer.step()
        self._seconds += time.perf_counter() - started
        surprise = piece.surprise
        self._tokens += 1
        self._nats += surprise
        self.text += piece
        return surprise

    @property
    def foot(self) -> str:
        """Its figures: tokens a second of its own time, and mean surprise in bits a token."""
        if self.failure:
            return self.failure
        if not self._tokens:
            return "…"
        return f"{self._tokens / max(self._seconds, 1e-9):,.0f} tok/s · {self._nats / self._tokens * BITS:.2f} bits"


class Comparison:
    """Writers of several cells on the same prompt, which share their settings and their seed."""

    def __init__(self, prompt: str, writers: Sequence[Writer], length: int) -> None:
        self.prompt = prompt
        self.length = length
        self.columns = [Column(writer, prompt) for writer in writers]
        self._steps = 0

    @property
    def finished(self) -> bool:
        """Whether every column is as long as it shall be; with length 0 never, unless all have failed."""
        running = any(not column.failure for column in self.columns)
        return not running or 0 < self.length * len(self.columns) <= self._steps

    def step(self, settings: Mapping[str, Any]) -> float:
        """One token of the next column, by the present settings; its surprise in nats."""
        column = self.columns[self._steps % len(self.columns)]
        self._steps += 1
        if column.failure:
            return 0.0
        for key, value in settings.items():
            if key != "seed" and column.writer.settings[key] != value:
                column.writer.settings[key] = value
        try:
            return column.step()
        except Exception as error:  # noqa: BLE001 - a plugin's cell may raise anything; the other columns go on
            column.failure = one_line(error)
            return 0.0

    def table(self) -> Table:
        """What there is to keep on the screen."""
        return Table(self.prompt, tuple((column.title, column.text, column.foot) for column in self.columns))
