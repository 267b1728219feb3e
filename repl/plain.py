"""The REPL on a terminal that can only print: lines in, text out, Ctrl-C stops. The same session and commands."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from plugins.guard import one_line
from repl.autosave import Autosave
from repl.bars import bar_rows
from repl.compare_view import columns_as_rows
from repl.events import Break, Drawing, Event, Note, Shares, Table, Text
from repl.help_pages import CLASSIFIER_GREETING, GREETING, HOW_TO_LEAVE
from repl.visible import visible
from repl.wrap import Row

if TYPE_CHECKING:
    from repl.app import Start
    from repl.conversation import Conversation

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
            self._print(columns_as_rows(event.columns, COLUMNS))
        elif isinstance(event, Drawing):
            from repl.drawing import picture_rows

            self._fresh()
            self._print(picture_rows(event.draw(COLUMNS), COLUMNS, colour=False))
        elif isinstance(event, Shares):
            self._fresh()
            self._print(bar_rows(event.shares, COLUMNS, unicode=False))

    def _print(self, rows: list[Row]) -> None:
        for row in rows:
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
    greetings = CLASSIFIER_GREETING if start.classifies else GREETING
    for greeting in greetings[:1] + greetings[2:]:
        screen.put(Note(greeting))
    session = make_session(start, screen.put)
    screen.put(Note(f"{session.name}; Ctrl-C stops the text"))
    autosave = Autosave() if start.history else None
    with Interrupts() as interrupts:
        while not session.leaving:
            try:
                line = interrupts.ask(screen)
            except KeyboardInterrupt:
                screen.put(Note(HOW_TO_LEAVE))
                continue
            if line is None:
                return 0
            _answer(session, line, interrupts)
            if autosave is not None:
                session.keep(autosave, now=True)
    return 0


class Interrupts:
    """Ctrl-C, inside ``with``: at the prompt it is KeyboardInterrupt, else only noted in :attr:`wanted`.

    So it stops the text between two tokens, and never a step, a line being printed or a file being written in the
    middle.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._asking = False
        self._before: Any = None

    def ask(self, screen: PlainScreen) -> str | None:
        """A line from the person; KeyboardInterrupt if they interrupt."""
        self._asking = True
        try:
            return screen.ask()
        finally:
            self._asking = self.wanted = False

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self._asking:
            raise KeyboardInterrupt
        self.wanted = True


def _answer(session: Conversation, line: str, interrupts: Interrupts) -> None:
    try:
        session.submit(line)
        while session.running:
            started = time.monotonic()
            session.step()
            if interrupts.wanted:
                session.stop()
            if session.speed:
                time.sleep(max(0.0, 1 / session.speed - (time.monotonic() - started)))
    except CelloquyError as error:
        session.say(str(error), "error")
    except Exception as error:  # noqa: BLE001 - a plugin's cell or sampler may raise anything; the REPL stays
        session.stop()
        session.say(f"{one_line(error)}; the text is kept", "error")
