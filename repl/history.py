"""The lines that a person has typed, from session to session: a JSON string a line, so that any entry stays whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

LONGEST_ENTRY = 10_000
"""Characters; what is longer was pasted and is not worth recalling."""
KEPT = 5_000
"""Entries that are loaded again."""
NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""A pipe that nobody reads is refused at once; to a file it is all one."""


class LineHistory(History):
    """History in a file, or without ``path`` only in memory.

    What cannot be read or written is left out: history is a comfort, never a hindrance.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path

    def append_string(self, string: str) -> None:
        """See prompt_toolkit, which would remember every entry: here as many as are loaded again, the latest."""
        super().append_string(string)
        del self._loaded_strings[KEPT:]

    def load_history_strings(self) -> Iterable[str]:
        """The kept entries, the latest first."""
        if self._path is None:
            return []
        try:
            if not self._path.is_file():  # a pipe would be waited for without end
                return []
            lines = self._path.read_bytes().splitlines()[-KEPT:]
        except OSError:
            return []
        return [entry for line in reversed(lines) if (entry := _entry(line))]

    def store_string(self, string: str) -> None:
        """Append one entry, in one write, so that two sessions do not mix theirs."""
        if self._path is None or len(string) > LONGEST_ENTRY:
            return
        line = json.dumps(string).encode() + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NOT_WAITING, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError:
            return


def _entry(line: bytes) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    return entry if isinstance(entry, str) else ""
