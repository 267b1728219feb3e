"""Control characters made visible: what a stranger wrote (model text, headers) must not steer the terminal."""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n\t")
_MOVING = frozenset("\u2028\u2029\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Line and paragraph separators, and what turns the direction of writing: invisible, but they move what is around."""


def is_hostile(character: str) -> bool:
    """Whether a terminal might do something else with this character than show it."""
    code = ord(character)
    if code < 0x20:
        return character not in _KEPT
    return 0x7F <= code < 0xA0 or character in _MOVING or 0xD800 <= code < 0xE000


def name_of(character: str) -> str:
    """A visible stand-in: the picture of a C0 control (``␛``), or the code point in angle brackets (``<9B>``)."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"<{code:02X}>"


def visible(text: str) -> str:
    """The text with every control character but newline and tab replaced by a visible stand-in.

    A combining mark that begins the text is given a dotted circle to stand on.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(name_of(character) if is_hostile(character) else character for character in text)
    if shown and unicodedata.combining(shown[0]):
        shown = "◌" + shown
    return shown


def one_line(text: str) -> str:
    """The text on one line, for a message or a table: as :func:`visible`, with newlines and tabs shown too."""
    return visible(text).replace("\n", "␊").replace("\t", "␉")


def describe(character: str) -> str:
    """How a message names one character: ``'é' (U+00E9)``."""
    shown = " " if character == " " else one_line(character)
    return f"{shown!r} (U+{ord(character):04X})" if shown == character else f"{shown} (U+{ord(character):04X})"
