"""Text as it stands along a picture: one short visible label for each piece, and its width in terminal cells."""

from __future__ import annotations

import unicodedata

from prompt_toolkit.utils import get_cwidth

from repl.visible import visible

NAMED = {"\n": "↵", "\t": "⇥", " ": "·", "\r": "␍"}


def mark(piece: str) -> str:
    """A piece of text as a label that takes at least one cell: blanks get a sign, control characters a picture."""
    shown = "".join(NAMED.get(character) or _one(character) for character in piece)
    return shown or "∅"


def _one(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Mc"):  # drawn onto the letter before, which is not here
        return "◌" + character
    if category == "Zs":  # a no-break space, an ideographic one
        return NAMED[" "]
    shown = visible(character)
    return shown if len(shown) == 1 else "▯"


def cells(text: str) -> int:
    """The terminal cells that a label takes."""
    return int(get_cwidth(text))


def fit(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells: cut, or filled up with blanks."""
    kept, used = "", 0
    for character in text:
        size = cells(character)
        if used + size > width:
            break
        kept, used = kept + character, used + size
    return kept + " " * (width - used)


def bands(widths: list[int], room: int) -> list[range]:
    """The columns in bands that take at most ``room`` cells each, at least one column a band."""
    found, start, used = [], 0, 0
    for number, width in enumerate(widths):
        if used + width > room and number > start:
            found.append(range(start, number))
            start, used = number, 0
        used += width
    if start < len(widths):
        found.append(range(start, len(widths)))
    return found


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Words in lines of at most ``width`` cells, longer words on lines of their own; later lines begin with ``indent``.

    A line that fits is left as it is, with all its blanks.
    """
    if cells(text) <= width:
        return [text]
    lines: list[str] = []
    for word in text.split():
        if lines and cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(indent * bool(lines) + word)
    return lines
