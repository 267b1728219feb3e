"""Columns that a text takes on a terminal."""

from __future__ import annotations

from prompt_toolkit import utils
from prompt_toolkit.utils import get_cwidth


def columns_of(text: str) -> int:
    """Columns of ``text``: two for a wide character, none for a combining mark.

    Asked character by character, since prompt_toolkit remembers every short text that it is ever asked about.
    """
    return sum(map(get_cwidth, text))


def fitting(text: str, columns: int) -> int:
    """How many of the first characters of ``text`` fit into so many columns; no more of it is looked at."""
    width = 0
    for number, character in enumerate(text):
        width += get_cwidth(character)
        if width > columns:
            return number
    return len(text)


def forget_widths() -> None:
    """Let prompt_toolkit forget the texts whose columns it was asked for: every state of the input line, for ever.

    Characters stay known, and its own list of the last long texts goes on by its rule. Its cache is private: if there
    is none of that name, nothing is done.
    """
    known = getattr(utils, "_CHAR_SIZES_CACHE", None)
    if isinstance(known, dict):
        for text in list(known):
            if len(text) > 1:
                known.pop(text, None)
