"""The fence around a plugin's code: whatever it raises or prints, the program goes on and says whose fault it was."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cells.errors import CelloquyError


def one_line(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its message."""
    if isinstance(error, CelloquyError):
        return " ".join(str(error).split())
    message = next((line.strip() for line in _text(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of a plugin may fail even to print itself
        return ""


class Divert:
    """Standard output is for results: what this thread prints inside the block goes to ``sink``, or nowhere.

    Other threads' text passes through. Two threads may be inside at once and restore each other's stand-in, so one
    that is finished passes everything through.
    """

    def __init__(self, sink: Any = None) -> None:
        self._sink = sink
        self._thread = threading.get_ident()
        self._finished = True
        self._original: Any = None
        self.printed = False

    def __enter__(self) -> Divert:
        self._finished = False
        self._original = sys.stdout
        sys.stdout = self
        return self

    def __exit__(self, *_: object) -> None:
        self._finished = True
        sys.stdout = self._original

    def write(self, text: str) -> int:
        """Where the text goes depends on who writes it."""
        if self._finished or threading.get_ident() != self._thread:
            written: int = self._original.write(text)
            return written
        self.printed = self.printed or bool(text)
        if self._sink is not None:
            self._sink.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class Guard:
    """``with Guard(report): …`` hands what the block raises to ``report`` and goes on after the block.

    SystemExit and every other BaseException count, save KeyboardInterrupt, which belongs to the person at the
    keyboard. What the block prints to standard output goes to standard error.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self._divert = Divert(sys.stderr)

    def __enter__(self) -> None:
        self._divert.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._divert.__exit__()
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        self._report(error)
        return True


class Blame:
    """``with Blame(who): …`` turns whatever the block raises into a CelloquyError that begins with ``who``.

    What the block prints to standard output goes to standard error or, if it is ``quiet``, nowhere; ``printed`` says
    whether it did.
    """

    def __init__(self, who: str, quiet: bool = False) -> None:
        self._who = who
        self._divert = Divert(None if quiet else sys.stderr)

    @property
    def printed(self) -> bool:
        """Whether the block printed."""
        return self._divert.printed

    def __enter__(self) -> Blame:
        self._divert.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._divert.__exit__()
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        if isinstance(error, CelloquyError) and str(error).startswith(self._who):
            return
        raise CelloquyError(f"{self._who}: {one_line(error)}") from error


class QuietStep:
    """A stranger's ``step`` with its two worst habits fenced: leaving the program, and printing to standard output.

    Stands on the cell instance in the place of its method. ``complain`` is told once when the step prints.
    """

    def __init__(self, step: Callable[..., Any], who: str, complain: Callable[[str], None]) -> None:
        self._step = step
        self._who = who
        self._complain = complain
        self._complained = False

    def __call__(self, x: Any, s: Any, R: Any, p: Any) -> Any:
        """The step, unchanged but for what it may do to the program around it."""
        divert = Divert()
        try:
            with divert:
                return self._step(x, s, R, p)
        except BaseException as error:
            if isinstance(error, Exception | KeyboardInterrupt):
                raise  # the engine names the cell itself
            raise CelloquyError(f"{self._who}: step raised {one_line(error)}") from error
        finally:
            if divert.printed and not self._complained:
                self._complained = True
                self._complain(f"{self._who} prints to standard output in its step; the text is left out")
