"""Readable features of a text: for each character, a number that depends on it and on what stands before it.

A unit's state after reading a character can follow only what was read, so no feature looks ahead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

OPENING = dict(zip("([{（【「『", ")]}）】」』", strict=True))
QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“"}
VOWELS = frozenset("aeiouyAEIOUYäöüáéíóúàèìòùâêîôûÄÖÜ")
SPEAKER = re.compile(r"^[^\W\d_][^\n:.!?]{0,39}:[ \t]*$", re.MULTILINE)
"""A line that is only a name and a colon: who speaks next, in a play."""

LONGEST_QUOTE = 1000
"""A quotation mark that nothing closes within so many characters is taken for a stray one."""


@dataclass(frozen=True)
class Feature:
    """A feature by name; ``compute`` gives one number a character. ``yes_no`` when it is only 0 or 1."""

    name: str
    says: str
    compute: Callable[[str], Values]
    yes_no: bool = True


def _each(test: Callable[[str], bool]) -> Callable[[str], Values]:
    """A feature of the character alone; each different character is tested once."""

    def compute(text: str) -> Values:
        known = {character: float(test(character)) for character in set(text)}
        return np.fromiter((known[character] for character in text), np.float64, len(text))

    return compute


def _since(ends: Callable[[str], bool], largest: int) -> Callable[[str], Values]:
    """Characters since the last one that ``ends`` something, 0 for that one itself, at most ``largest``."""

    def compute(text: str) -> Values:
        places = np.arange(len(text))
        marks = np.where(_each(ends)(text) > 0, places, -1)
        last = np.maximum.accumulate(marks)
        return np.minimum(places - last, largest).astype(np.float64)

    return compute


def inside_quotes(text: str) -> Values:
    """1 between quotation marks, the opening one included, the closing one not; a blank line ends it too."""
    found = np.zeros(len(text))
    start, closing = -1, ""
    for place, character in enumerate(text):
        if start >= 0 and (character == closing or place - start > LONGEST_QUOTE or text.startswith("\n\n", place)):
            start = -1
        elif start < 0 and character in QUOTES:
            start, closing = place, QUOTES[character]
        found[place] = float(start >= 0)
    return found


def inside_brackets(text: str) -> Values:
    """1 inside round, square or curly brackets, the opening one included, the closing one not."""
    found = np.zeros(len(text))
    open_marks: list[str] = []
    for place, character in enumerate(text):
        if character in OPENING:
            open_marks.append(OPENING[character])
        elif open_marks and character == open_marks[-1]:
            open_marks.pop()
        elif text.startswith("\n\n", place):
            open_marks.clear()
        found[place] = float(bool(open_marks))
    return found


def after_speakers_name(text: str) -> Values:
    """1 in the first line that a speaker says: from the line break after the name to the next."""
    found = np.zeros(len(text))
    for match in SPEAKER.finditer(text):
        end = text.find("\n", match.end() + 1)
        found[match.end() : len(text) if end < 0 else end] = 1.0
    return found


def indentation(text: str) -> Values:
    """Blanks at the beginning of the line so far, at most 40; a tab counts 8."""
    found = np.zeros(len(text))
    depth, leading = 0, True
    for place, character in enumerate(text):
        if character == "\n":
            depth, leading = 0, True
        elif leading and character in " \t":
            depth += 8 if character == "\t" else 1
        else:
            leading = False
        found[place] = min(depth, 40)
    return found


def paragraph_line(text: str) -> Values:
    """Line breaks since the last blank line, at most 20."""
    found = np.zeros(len(text))
    count, before = 0, ""
    for place, character in enumerate(text):
        if character == "\n":
            count = 0 if before == "\n" else count + 1
        before = character
        found[place] = min(count, 20)
    return found


def capitals_run(text: str) -> Values:
    """1 in a word of capitals, from its second letter on."""
    found = np.zeros(len(text))
    for match in re.finditer(r"[^\W\d_]{2,}", text):
        word = match.group()
        count = next((number for number, letter in enumerate(word) if not letter.isupper()), len(word))
        if count > 1:
            found[match.start() + 1 : match.start() + count] = 1.0
    return found


def _punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


FEATURES = (
    Feature("inside quotes", "between quotation marks", inside_quotes),
    Feature("inside brackets", "between brackets", inside_brackets),
    Feature("position in line", "characters since the line began", _since(lambda c: c == "\n", 200), False),
    Feature("position in word", "letters since the word began", _since(lambda c: not c.isalpha(), 20), False),
    Feature("since punctuation", "characters since a punctuation mark", _since(_punctuation, 100), False),
    Feature("position in sentence", "characters since . ! or ?", _since(lambda c: c in ".!?。！？", 300), False),
    Feature("line of paragraph", "lines since a blank line", paragraph_line, False),
    Feature("indentation", "blanks at the beginning of the line", indentation, False),
    Feature("after a speaker's name", "the first line that a speaker says", after_speakers_name),
    Feature("word of capitals", "in a word of capitals", capitals_run),
    Feature("capital", "a capital letter was read", _each(str.isupper)),
    Feature("vowel", "a vowel was read", _each(VOWELS.__contains__)),
    Feature("letter", "a letter was read", _each(str.isalpha)),
    Feature("digit", "a digit was read", _each(str.isdigit)),
    Feature("punctuation", "a punctuation mark was read", _each(_punctuation)),
    Feature("blank", "a blank was read", _each(lambda c: c == " ")),
    Feature("line break", "a line break was read", _each(lambda c: c == "\n")),
)


def present(text: str, least: int) -> Iterator[tuple[Feature, Values]]:
    """The features that occur in a text with their values: yes and no at least ``least`` times each."""
    for feature in FEATURES:
        values = feature.compute(text)
        if feature.yes_no:
            yes = int(values.sum())
            occurs = least <= yes <= len(values) - least
        else:
            occurs = len(values) > 0 and float(values.std()) > 0
        if occurs:
            yield feature, values
