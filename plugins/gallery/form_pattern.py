"""Forms of verse: how many characters a clause has, where lines end, which characters come first. No torch here."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from cells.errors import UsageError
from plugins.options import Option

DEFAULT = "5,5/5,5"
BODY = ""
"""A place for any character of a clause; every other place asks for its own."""

MOST_CLAUSES = 256
LONGEST_CLAUSE = 1000

_PATTERN = re.compile(r"[0-9]{1,4}([,/][0-9]{1,4})*")


def is_body(character: str) -> bool:
    """Whether a character can stand within a clause: letters and digits, of any script."""
    return character.isalnum()


def check_form(text: str) -> None:
    """UsageError unless the text is a form: lengths of clauses, a comma between clauses, a slash between lines."""
    if text:
        clause_lengths(text)


def clause_lengths(text: str) -> tuple[tuple[int, ...], ...]:
    """The lengths of the clauses of each line: ``5,5/7`` is ((5, 5), (7,))."""
    if not _PATTERN.fullmatch(text):
        raise UsageError(f"form must be lengths of clauses like 5,5/7,7 (a slash ends a line), not {text[:60]!r}")
    lines = tuple(tuple(int(number) for number in line.split(",")) for line in text.split("/"))
    clauses = [length for line in lines for length in line]
    if len(clauses) > MOST_CLAUSES or not all(1 <= length <= LONGEST_CLAUSE for length in clauses):
        raise UsageError(f"form has at most {MOST_CLAUSES} clauses, of 1 to {LONGEST_CLAUSE} characters")
    return lines


def check_marks(text: str) -> None:
    """UsageError unless there are two marks, or none."""
    if len(text) not in (0, 2) or any(is_body(mark) or mark == "\n" for mark in text):
        raise UsageError(f"form-marks must be the mark after a clause and that after a line, or none, not {text!r}")


def check_acrostic(text: str) -> None:
    """UsageError for a first character that no clause can have."""
    wrong = [character for character in text if not is_body(character)]
    if wrong:
        raise UsageError(f"acrostic must be letters, and {wrong[0]!r} is none")


OPTIONS = (
    Option(
        "form",
        str,
        "",
        "Hold the text to clauses of so many characters: 5,5/5,5 is two lines of two clauses of five, and so on again.",
        metavar="N,N/N,N",
        check=check_form,
    ),
    Option(
        "form-marks",
        str,
        "，。",
        "The marks after a clause within a line and after a line, as a form has them; empty for none.",
        check=check_marks,
    ),
    Option(
        "acrostic",
        str,
        "",
        f"First characters of the form's lines or, if they are more, of its clauses (form {DEFAULT} if none is given).",
        check=check_acrostic,
    ),
)


@functools.lru_cache(maxsize=64)
def places(form: str, marks: str, acrostic: str) -> tuple[str, ...]:
    """What each place of the form asks for: :data:`BODY`, or one character. After the last place the first comes again.

    A line ends with a line break, and the last with two. UsageError for an acrostic with more characters than clauses.
    """
    lines = clause_lengths(form or DEFAULT)
    clauses = sum(map(len, lines))
    if len(acrostic) > clauses:
        raise UsageError(f"acrostic has {len(acrostic)} characters, and the form only {clauses} clauses")
    firsts = iter(acrostic)
    every_clause = len(acrostic) > len(lines)
    found: list[str] = []
    for line in lines:
        for number, length in enumerate(line):
            first = next(firsts, BODY) if every_clause or number == 0 else BODY
            found += [first, *[BODY] * (length - 1)]
            found += marks[1:] if number == len(line) - 1 else marks[:1]
        found.append("\n")
    return (*found, "\n")


def fits(place: str, character: str) -> bool:
    """Whether a character may stand at a place."""
    return is_body(character) if place == BODY else character == place


def place_after(form: Sequence[str], text: str) -> int:
    """The place that comes after a text: where the part of it stands that follows the form to its end.

    The text is read from its last empty line on. A character that does not follow the form begins it anew.
    """
    start = text.rfind("\n\n")
    place = 0
    for character in text[start + 2 if start >= 0 else 0 :]:
        place = next(_going_on(form, place, character), 0)
    return place


def _going_on(form: Sequence[str], place: int, character: str) -> Iterator[int]:
    for here in (place, 0):
        if fits(form[here], character):
            yield (here + 1) % len(form)


def tokens_that_fit(form: Sequence[str], place: int, texts: Sequence[str]) -> list[int]:
    """The ids of the tokens whose characters can all stand from ``place`` on."""
    length = len(form)
    return [
        token
        for token, text in enumerate(texts)
        if text and all(fits(form[(place + number) % length], character) for number, character in enumerate(text))
    ]
