"""A program on a pseudo-terminal, its screen read through an emulator. Waits for what shall be, never for a while."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping

import pyte

from terminal_kit.processes import Process, set_size

DEADLINE = 200.0
"""Seconds: far more than anything takes, since the machine may be busy."""

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
CTRL_UP, CTRL_DOWN = "\x1b[1;5A", "\x1b[1;5B"
ESC, ENTER, TAB, SPACE = "\x1b", "\r", "\t", " "
CTRL_C, CTRL_D, CTRL_R, CTRL_L, CTRL_Z = "\x03", "\x04", "\x12", "\x0c", "\x1a"
ALT_ENTER = "\x1b\r"
F2 = "\x1bOQ"


def paste(text: str) -> str:
    """A bracketed paste, as a terminal sends it."""
    return f"\x1b[200~{text}\x1b[201~"


class Terminal:
    """A running program and what its terminal shows. ``raw`` holds every byte that it wrote."""

    def __init__(self, process: Process, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.5)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._ended = False
        self._open = True
        self._process = process

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    # What it shows

    @property
    def rows(self) -> list[str]:
        """The rows on the screen, blanks at their ends left out."""
        return [row.rstrip() for row in self.screen.display]

    @property
    def whole(self) -> bool:
        """Whether the frame on the screen came to its end: the program hides the cursor while it draws."""
        return not self.screen.cursor.hidden

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.rows).rstrip("\n")

    @property
    def scrollback(self) -> list[str]:
        """The rows that have left the screen at its top."""
        return [_text(row, self.screen.columns).rstrip() for row in self.screen.history.top]

    @property
    def everything(self) -> str:
        """Scrollback and screen."""
        return "\n".join([*self.scrollback, *self.rows]).rstrip("\n")

    @property
    def status(self) -> str:
        """The status line: the last row that shows anything."""
        return next((row for row in reversed(self.rows) if row), "")

    def styles_of(self, text: str) -> list[pyte.screens.Char]:
        """The cells of the first place on the screen where a text stands."""
        for number, row in enumerate(self.screen.display):
            if (place := row.find(text)) >= 0:
                return [self.screen.buffer[number][place + offset] for offset in range(len(text))]
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    # What is done to it

    def send(self, *keys: str) -> None:
        """Type. What it writes meanwhile is read, so that neither side waits for the other."""
        data = "".join(keys).encode("utf-8", "surrogateescape")
        while data:
            _, writable, _ = select.select([], [self._process.fd], [], 0.05)
            if writable:
                data = data[os.write(self._process.fd, data[:512]) :]
            self._read(0)

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(text, ENTER)

    def ask(self, text: str) -> None:
        """Give a line, and wait until what comes of it is there and finished."""
        before = len(self.everything)
        self.line(text)
        self.wait(lambda: len(self.everything) > before + len(text) and self.at_rest)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is written, nothing is asked for and nothing is typed."""
        return "ready" in self.status and self.rows[self.screen.cursor.y] in ("›", ">")

    def resize(self, columns: int, rows: int, forget: bool = False) -> None:
        """Give the terminal another size; ``forget`` what it shows, since this emulator cuts rows that are too long."""
        self._drain()
        if forget:
            self.screen.erase_in_display(2)
            self.screen.history.top.clear()
        self._shrink(rows)
        self.screen.resize(rows, columns)
        set_size(self._process.fd, columns, rows)

    def _shrink(self, rows: int) -> None:
        """Scroll up as terminals do where the cursor would be below the last row; the emulator itself would not."""
        screen = self.screen
        above = screen.cursor.y - (rows - 1)
        if rows < screen.lines:
            if above > 0:
                screen.cursor.y = screen.lines - 1
                for _ in range(above):
                    screen.index()
                screen.cursor.y = rows - 1
            for row in range(rows, screen.lines):
                screen.buffer.pop(row, None)
            screen.lines = rows
            screen.set_margins()

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Close the terminal under the program."""
        if self._open:
            os.close(self._process.fd)
        self._open, self._ended = False, True

    # Waiting

    def wait(self, until: str | Callable[[], object], deadline: float = DEADLINE) -> None:
        """Until a text is on the screen, or a condition holds, in a whole frame.

        Wait for what stays. What passes may have passed before the first look.
        """
        condition = (lambda: until in self.text) if isinstance(until, str) else until
        limit = time.monotonic() + deadline
        while not ((self.whole or self._ended) and condition()):
            if time.monotonic() > limit or self._ended:
                what = repr(until) if isinstance(until, str) else "the condition"
                raise AssertionError(f"{what} did not come; the screen:\n{self.text}")
            self._read(0.05)

    def settle(self, seconds: float = 0.3) -> str:
        """The screen once nothing has come for a while: for showing that something does not happen."""
        last = time.monotonic()
        while time.monotonic() - last < seconds:
            if self._read(0.05):
                last = time.monotonic()
        return self.text

    def leave(self, deadline: float = DEADLINE) -> int:
        """Wait for the program's end; its exit status, a signal's as 128 and its number."""
        limit = time.monotonic() + deadline
        while (status := self._process.status()) is None:
            if time.monotonic() > limit:
                raise AssertionError(f"the program did not end; the screen:\n{self.text}")
            if not self._read(0.05):
                time.sleep(0.01)
        self._drain()
        return status if status >= 0 else 128 - status

    def kill(self) -> None:
        """End the program the hard way."""
        if self._process.status() is None:
            os.kill(self.pid, signal.SIGKILL)
            while self._process.status() is None:
                time.sleep(0.01)

    def close(self) -> None:
        """End the program if it still runs, and let go of the terminal."""
        self.kill()
        self.hang_up()

    def _drain(self) -> None:
        while self._read(0):
            pass

    def _read(self, timeout: float) -> bool:
        if self._ended:
            return False
        readable, _, _ = select.select([self._process.fd], [], [], timeout)
        if not readable:
            return False
        try:
            data = os.read(self._process.fd, 65536)
        except OSError:  # the other end is closed
            data = b""
        if not data:
            self._ended = True
            return False
        self.raw += data
        self._stream.feed(data)
        return True


def _text(row: Mapping[int, pyte.screens.Char], columns: int) -> str:
    return "".join(row[column].data for column in range(columns))
