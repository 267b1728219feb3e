"""How a person is told of characters that a checkpoint does not know."""

from __future__ import annotations

from collections.abc import Sequence

from repl.visible import describe

MOST_NAMED = 20


def unknown_warning(name: str, characters: Sequence[str], what: str = "read as unknown") -> str:
    """One line that names them: ``warning: tiny.lstm does not know 'é' (U+00E9): read as unknown``."""
    named = ", ".join(describe(character) for character in characters[:MOST_NAMED])
    more = f" and {len(characters) - MOST_NAMED} more" if len(characters) > MOST_NAMED else ""
    return f"warning: {name} does not know {named}{more}: {what}"
