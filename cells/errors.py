"""The errors that Celloquy expects: each has a one-line message that says what is wrong and what to do."""

from __future__ import annotations


class CelloquyError(Exception):
    """Something could not be done. ``str(error)`` is one line for a person; no traceback is needed to understand it."""


class UsageError(CelloquyError):
    """An option or argument has a value that it cannot have (exit status 2 on the command line)."""
