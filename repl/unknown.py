"""How a person is told of characters that a checkpoint does not know."""

from __future__ import annotations

from collections.abc import Sequence

from repl.visible import describe

MOST_NAMED = 20
READ = "read as unknown"


def unknown_warning(name: str, characters: Sequence[str], what: str = READ) -> str:
    """One line for standard error: ``warning:`` and :func:`unknown_note`."""
    return f"warning: {unknown_note(name, characters, what)}"


def unknown_note(name: str, characters: Sequence[str], what: str = READ) -> str:
    """One line that names them: ``tiny.lstm does not know 'é' (U+00E9): read as unknown``."""
    named = ", ".join(describe(character) for character in characters[:MOST_NAMED])
    more = f" and {len(characters) - MOST_NAMED} more" if len(characters) > MOST_NAMED else ""
    return f"{name} does not know {named}{more}: {what}"
