"""The running conversation, saved on the way, so that a closed terminal or a killed program loses a second at most."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cells.errors import CelloquyError
from checkpoints.finding import home

if TYPE_CHECKING:
    from repl.session import Session

EVERY = 0.5
"""Seconds between two looks at whether there is something new."""
SHARE = 10
"""Saving a very long text takes at most one part in so many of the time."""
KEPT = 10
"""Conversations that are kept."""


def folder() -> Path:
    """Where running conversations are kept."""
    return home() / "sessions"


def latest() -> Path:
    """The conversation that was going on last; CelloquyError if there is none."""
    found = _kept()
    if not found:
        raise CelloquyError("there is no conversation to go on with; they are kept unless --no-history is given")
    return found[-1]


def _kept() -> list[Path]:
    """The kept conversations, the last written one at the end."""
    ages: list[tuple[float, str, Path]] = []
    for path in folder().glob("*.json"):
        with contextlib.suppress(OSError):
            ages.append((path.stat().st_mtime, path.name, path))
    return [path for _, _, path in sorted(ages)]


class Autosave:
    """Writes a session to a file of its own when something about it has changed. Runs in the session's thread."""

    def __init__(self) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.json"
        self.path = folder() / name
        self._saver: object | None = None
        self._seen: object = None
        self._not_before = 0.0
        self._failed = False

    def __call__(self, session: Session, *, now: bool = False) -> None:
        """Save what is new, unless the last time is too short ago for so long a text."""
        state = (session.writer.randomness, session.size, session.writer.settings.values_now, len(session.marks))
        if state == self._seen or session.size == 0 or (time.monotonic() < self._not_before and not now):
            return
        started = time.monotonic()
        try:
            self._write(session)
        except (OSError, CelloquyError) as error:
            if not self._failed:
                session.say(f"this conversation cannot be kept for --continue: {error}", "warning")
            self._failed = True
        self._seen = state
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - started)

    def _write(self, session: Session) -> None:
        """Without waiting for the disk: what a crash of the whole machine may lose, a crash of the program may not."""
        from repl.saving import Saver

        if not isinstance(self._saver, Saver):
            self._saver = Saver()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for old in _kept()[: -KEPT + 1]:
                old.unlink(missing_ok=True)
        temporary = self.path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(self._saver.dump(session))
        os.replace(temporary, self.path)
