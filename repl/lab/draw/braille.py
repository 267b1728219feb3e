"""A canvas of braille dots, two by four in each terminal cell, with the curve that drew last in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from repl.lab.draw.axes import Point

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Unicode's bit for each dot, row by row."""


class Canvas:
    """``columns`` by ``rows`` cells; points come in the unit square, y upwards."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._bits = [[0] * columns for _ in range(rows)]
        self._owner: list[list[int | None]] = [[None] * columns for _ in range(rows)]
        self._letters: dict[tuple[int, int], str] = {}

    def line(self, points: Sequence[Point], owner: int, on: int = 1, off: int = 0) -> None:
        """Draw a run of points; ``on`` and ``off`` count dots for a dashed curve."""
        drawn = 0
        if len(points) == 1:
            self._dot(*self._dots(points[0]), owner)
        for start, end in pairwise(points):
            (x0, y0), (x1, y1) = self._dots(start), self._dots(end)
            count = max(abs(x1 - x0), abs(y1 - y0), 1)
            for number in range(count + 1):
                if off == 0 or drawn % (on + off) < on:
                    self._dot(round(x0 + (x1 - x0) * number / count), round(y0 + (y1 - y0) * number / count), owner)
                drawn += number < count

    def letter(self, point: Point, letter: str, owner: int) -> None:
        """Stand a letter on a curve, unless another letter stands there already."""
        x, y = self._dots(point)
        place = (y // 4, x // 2)
        if place not in self._letters:
            self._letters[place] = letter
            self._owner[place[0]][place[1]] = owner

    def _dots(self, point: Point) -> tuple[int, int]:
        x, y = point
        return round(x * (self.columns * 2 - 1)), round((1 - y) * (self.rows * 4 - 1))

    def _dot(self, x: int, y: int, owner: int) -> None:
        row, column = y // 4, x // 2
        self._bits[row][column] |= DOTS[y % 4][x % 2]
        if (row, column) not in self._letters:
            self._owner[row][column] = owner

    def row(self, number: int) -> list[tuple[str, int | None]]:
        """The characters of a row from the left, each with the curve whose colour it takes."""
        cells = zip(self._bits[number], self._owner[number], strict=True)
        return [
            (self._letters.get((number, column)) or (chr(BLANK + bits) if bits else " "), owner)
            for column, (bits, owner) in enumerate(cells)
        ]
