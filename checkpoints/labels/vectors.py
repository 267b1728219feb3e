"""Word vectors from a text file (GloVe, Pennington, Socher and Manning 2014; word2vec's text format): a word and its
numbers a line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from cells.errors import CelloquyError
from checkpoints.files import file_errors

AT_ONCE = 2000
"""Lines that are turned into numbers together."""

MOST_NUMBERS = 10_000
"""Numbers of a word at most: a file that speaks of more is none of word vectors."""

MOST_DIGITS = 20
"""Digits of that number that are read: more say no less that it is too large, and Python refuses to read thousands."""

LONGEST_LINE = 1 << 20
"""Characters read as a line at most; what goes on longer is refused for its numbers."""

Matrix = NDArray[numpy.float32]


@dataclass(frozen=True)
class WordVectors:
    """The table [V, D] for a vocabulary, how many of its words the file has, and how many words the file has."""

    table: Matrix
    known: int
    words: int


def read_vectors(path: str | Path, vocabulary: Sequence[str], seed: int, unknown_id: int | None = None) -> WordVectors:
    """A row for each word of ``vocabulary`` from the file; of two with the same word the first.

    A word that the file lacks is looked for in lower case, and else drawn at random (normal) with the mean and spread
    of the whole file in each dimension; the row of ``unknown_id`` is that mean. Raises CelloquyError, naming the line,
    for a file that is not such a table.
    """
    path = Path(path)
    places: dict[str, list[int]] = {}
    for number, word in enumerate(vocabulary):
        places.setdefault(word, []).append(number)
    lowered: dict[str, list[int]] = {}
    for word, numbers in places.items():
        if word.lower() != word:
            lowered.setdefault(word.lower(), []).extend(numbers)
    rows: dict[int, NDArray[numpy.float32]] = {}
    second: dict[int, NDArray[numpy.float32]] = {}
    count = 0
    total = square = numpy.zeros(0)
    for words, values in _blocks(path):
        total = values.sum(0, dtype=numpy.float64) + (total if count else 0.0)
        square = numpy.square(values, dtype=numpy.float64).sum(0) + (square if count else 0.0)
        count += len(words)
        for word, row in zip(words, values, strict=True):
            for number in places.get(word, ()):
                rows.setdefault(number, row.copy())
            for number in lowered.get(word, ()):
                second.setdefault(number, row.copy())
    if not count:
        raise CelloquyError(f"{path} holds no word vectors")
    mean = total / count
    spread = numpy.sqrt(numpy.maximum(square / count - mean**2, 0.0))
    draw = numpy.random.default_rng(seed)
    table = draw.normal(mean, spread, (len(vocabulary), len(mean))).astype(numpy.float32)
    found = {**second, **rows}
    for number, row in found.items():
        table[number] = row
    if unknown_id is not None:
        table[unknown_id] = mean
        found.pop(unknown_id, None)
    return WordVectors(table, len(found), count)


def _blocks(path: Path) -> Iterator[tuple[list[str], Matrix]]:
    """Words and their rows, some thousands at a time."""
    with file_errors(path, "read"), open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        numbered: Iterator[tuple[int, str]] = enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1)
        first = next(numbered, None)
        if first is None:
            return
        size = len(first[1].split()) - 1
        if size == 1 and all(part.isdecimal() for part in first[1].split()):  # word2vec: number of words and size
            size = int(first[1].split()[1][:MOST_DIGITS])
        else:
            numbered = itertools.chain([first], numbered)
        if not 1 <= size <= MOST_NUMBERS:
            raise CelloquyError(f"{path}, line {first[0]}: a line must be a word and 1 to {MOST_NUMBERS} numbers")
        while block := list(itertools.islice(numbered, AT_ONCE)):
            yield _block(path, block, size)


def _block(path: Path, lines: Sequence[tuple[int, str]], size: int) -> tuple[list[str], Matrix]:
    words: list[str] = []
    values = numpy.empty((len(lines), size), dtype=numpy.float32)
    for place, (number, line) in enumerate(lines):
        word, *fields = line.rstrip(" \r\n").rsplit(" ", size)
        try:
            if len(fields) != size:  # a single number would be taken for all of them
                raise ValueError
            with numpy.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
                values[place] = list(map(float, fields))
        except ValueError:
            raise CelloquyError(f"{path}, line {number}: not a word and {size} numbers") from None
        words.append(word)
    if not bool(numpy.isfinite(values).all()):
        bad = lines[int(numpy.flatnonzero(~numpy.isfinite(values).all(1))[0])][0]
        raise CelloquyError(f"{path}, line {bad}: a number in it is not finite")
    return words, values
