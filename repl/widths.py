"""Columns that a text takes on a terminal."""

from __future__ import annotations

from prompt_toolkit.utils import get_cwidth


def columns_of(text: str) -> int:
    """Columns of ``text``: two for a wide character, none for a combining mark.

    Asked character by character, since prompt_toolkit remembers every short text that it is ever asked about.
    """
    return sum(map(get_cwidth, text))
