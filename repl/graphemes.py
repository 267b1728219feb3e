"""Characters as people count them: a letter with its accents, an emoji sequence or CR LF is one (Unicode UAX 29)."""

from __future__ import annotations

from itertools import islice

from wcwidth import iter_graphemes, iter_graphemes_reverse


def last_graphemes(text: str, count: int) -> str:
    """The last ``count`` characters of a text, as people count them; all of it if there are fewer."""
    size = sum(map(len, islice(iter_graphemes_reverse(text), count)))
    return text[len(text) - size :]


def count_graphemes(text: str) -> int:
    """How many characters a text has, as people count them."""
    return len(text) if text.isascii() and "\r" not in text else sum(1 for _ in iter_graphemes(text))
