"""What a stranger's file says, made fit for a message: one line, no control characters, not long."""

from __future__ import annotations

import reprlib

LONGEST = 500
"""Characters of a whole message."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlong = 40
_short.maxlevel = 2
_short.maxlist = _short.maxdict = 3


def shown(value: object) -> str:
    """A value as Python writes it, shortened; what is not printable is escaped."""
    return _short.repr(value)


def plain(text: str, longest: int = LONGEST) -> str:
    """A text on one line, shortened in the middle; what is not printable is escaped."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} … {text[-longest // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
