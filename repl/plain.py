"""The REPL on a terminal that can only print: lines in, text out, Ctrl-C stops. The same session and commands."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from cells.errors import CelloquyError
from plugins.guard import one_line
from repl.autosave import Autosave
from repl.compare_view import columns_as_rows
from repl.events import Break, Event, Note, Table, Text
from repl.help_pages import GREETING, HOW_TO_LEAVE
from repl.visible import visible

if TYPE_CHECKING:
    from repl.app import Start
    from repl.session import Session

COLUMNS = 80


class PlainScreen:
    """Prints what a session tells, as it comes."""

    def __init__(self) -> None:
        self._in_row = False

    def put(self, event: Event) -> None:
        """Print one event; notes begin a row of their own."""
        if isinstance(event, Text):
            self._write(visible(event.text if event.shown is None else event.shown))
        elif isinstance(event, Break):
            self._fresh()
        elif isinstance(event, Note):
            if event.kind != "echo":
                self._fresh()
                self._write(visible(event.text) + "\n")
        elif isinstance(event, Table):
            self._fresh()
            for row in columns_as_rows(event.columns, COLUMNS):
                self._write("".join(text for _, text in row).rstrip() + "\n")

    def _fresh(self) -> None:
        if self._in_row:
            self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()
            self._in_row = not text.endswith("\n")

    def ask(self) -> str | None:
        """The next line that is typed; None at the end of input."""
        self._fresh()
        self._write("> ")
        self._in_row = False
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None


def run_plain(start: Start) -> int:
    """Talk until the input ends; the exit status."""
    from repl.app import make_session

    screen = PlainScreen()
    for greeting in GREETING[:1] + GREETING[2:]:
        screen.put(Note(greeting))
    session = make_session(start, screen.put)
    screen.put(Note(f"{session.writer.name}; Ctrl-C stops the text"))
    autosave = Autosave() if start.history else None
    while not session.leaving:
        try:
            line = screen.ask()
        except KeyboardInterrupt:
            screen.put(Note(HOW_TO_LEAVE))
            continue
        if line is None:
            return 0
        with interrupts(session):
            _answer(session, line)
        if autosave is not None:
            autosave(session, now=True)
    return 0


@contextmanager
def interrupts(session: Session) -> Iterator[None]:
    """Ctrl-C stops the text between two tokens, not in the middle of one."""

    def stop(number: int, frame: FrameType | None) -> None:
        session.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _answer(session: Session, line: str) -> None:
    try:
        session.submit(line)
        while session.running:
            started = time.monotonic()
            session.step()
            if session.speed:
                time.sleep(max(0.0, 1 / session.speed - (time.monotonic() - started)))
    except CelloquyError as error:
        session.say(str(error), "error")
    except Exception as error:  # noqa: BLE001 - a plugin's cell or sampler may raise anything; the REPL stays
        session.stop()
        session.say(f"{one_line(error)}; the text is kept", "error")
