"""Rows of a terminal, filled piece by piece: what is finished may scroll away, the unfinished row stays live."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

from prompt_toolkit.utils import get_cwidth

from repl.visible import is_hostile, name_of
from repl.widths import fitting

Fragment = tuple[str, str]
"""(style, text), as prompt_toolkit has it."""
Row = list[Fragment]

TAB = 8
JOINERS = "\u200c\u200d"
"""They make one letter or emoji of two."""
MARKS_ON_ONE_LETTER = 4
"""Scripts need at most three; taller stacks deface the rows around them."""


class Rows:
    """Breaks styled text into rows of at most ``columns`` cells. Wide characters count two, combining marks none.

    The text is taken as it comes from a model: control characters are made visible here, and nowhere later.
    """

    def __init__(self, columns: int) -> None:
        self.columns = max(1, columns)
        self._cells: list[Fragment] = []
        self._width = 0
        self._marks: int | None = None  # marks on the last letter; None where there is no letter to carry one

    def add(self, style: str, text: str) -> list[Row]:
        """Take more text; the rows that it finished."""
        finished: list[Row] = []
        for character in text:
            if character == "\n":
                finished.append(self._take())
            elif character == "\t":
                for _ in range(min(TAB - self._width % TAB, max(1, self.columns - self._width))):
                    self._put(style, " ", finished)
                self._marks = None
            elif is_mark(character):
                self._mark(style, character, finished)
            else:
                hostile = is_hostile(character) or self._is_unseen(character)
                for part in name_of(character) if hostile else character:
                    self._put(style, part, finished)
                if character not in JOINERS:
                    self._marks = None if hostile or character.isspace() else 0
        return finished

    def _is_unseen(self, character: str) -> bool:
        """Whether a format character would be there and not be seen; joiners may, where there is something to join."""
        if character in JOINERS:
            return self._marks is None
        return character > "\u00ac" and unicodedata.category(character) == "Cf"

    def _mark(self, style: str, mark: str, finished: list[Row]) -> None:
        """A mark goes onto its letter; a lone one gets a dotted circle to stand on, and a heap of them is named."""
        if self._marks is None:
            self._put(style, "◌", finished)
            self._marks = 0
        self._marks += 1
        for part in mark if self._marks <= MARKS_ON_ONE_LETTER else name_of(mark):
            self._put(style, part, finished)

    def _put(self, style: str, character: str, finished: list[Row]) -> None:
        width = get_cwidth(character)
        if width and self._width + width > self.columns and self._cells:
            finished.append(self._take())
        self._cells.append((style, character))
        self._width += width

    def _take(self) -> Row:
        row = merged(self._cells)
        self._cells, self._width, self._marks = [], 0, None
        return row

    @property
    def tail(self) -> Row:
        """The unfinished row."""
        return merged(self._cells)

    @property
    def width(self) -> int:
        """Cells that the unfinished row takes."""
        return self._width

    def resize(self, columns: int) -> list[Row]:
        """Take another number of columns; the rows that no longer fit the unfinished one are finished."""
        cells, self._cells, self._width = self._cells, [], 0
        self.columns = max(1, columns)
        finished: list[Row] = []
        for style, character in cells:
            self._put(style, character, finished)
        return finished

    def flush(self) -> list[Row]:
        """Finish the unfinished row, if there is anything in it."""
        if not self._cells:
            return []
        return [self._take()]


def is_mark(character: str) -> bool:
    """Whether the character is drawn onto the one before it: a combining mark or a variation selector."""
    return character > "\u02ff" and unicodedata.category(character) in ("Mn", "Me", "Mc")


def merged(cells: Iterable[Fragment]) -> Row:
    """Neighbours of one style as one fragment."""
    return [(style, "".join(text for _, text in run)) for style, run in groupby(cells, key=lambda cell: cell[0])]


def wrap(fragments: Iterable[Fragment], columns: int) -> list[Row]:
    """Finished text as rows; an empty text is one empty row."""
    rows = Rows(columns)
    finished: list[Row] = []
    for style, text in fragments:
        finished += rows.add(style, text)
    return finished + (rows.flush() or ([] if finished else [[]]))


def wrap_words(style: str, text: str, columns: int, indent: str = "") -> list[Row]:
    """A note as rows broken between words where it can be; ``indent`` stands before all but a line's first row.

    A word that no row can hold, such as a path, is broken after a slash, or wherever the row is full.
    """
    indent = indent if len(indent) < columns // 2 else ""
    rows: list[Row] = []
    for line in text.split("\n"):
        row = ""
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", line) or [""]:
            row += word
            start = len(row) - len(word.lstrip())
            while not _fits(row, columns):
                kept = _kept(row, columns, start, len(indent))
                if not kept:
                    break
                rows += wrap([(style, row[:kept].rstrip())], columns)
                row, start = indent + row[kept:].lstrip(), len(indent)
        rows += wrap([(style, row.rstrip())], columns)
    return rows


def _fits(row: str, columns: int) -> bool:
    shown = row.rstrip()
    return fitting(shown, columns) == len(shown)


def _kept(row: str, columns: int, word: int, indent: int) -> int:
    """How many characters of a row that is too wide stay in it, when its last word begins at ``word``."""
    if row[:word].strip() and _fits(row[word:], columns - indent):
        return word
    fits = fitting(row, columns)
    slash = row.rfind("/", word + 1, fits)
    if slash >= 0:
        return slash + 1
    return fits if row[:fits].strip() else 0


def cut(text: str, columns: int) -> str:
    """``text`` shortened to ``columns`` cells, an ellipsis at its end if something is missing."""
    if fitting(text, columns) == len(text):
        return text
    return text[: fitting(text, columns - 1)] + "…" if columns > 0 else ""
