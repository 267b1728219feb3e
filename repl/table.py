"""Aligned columns of plain text, by the width that a terminal gives each character."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

from repl.visible import one_line


def width(text: str) -> int:
    """How many columns a text takes: wide characters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows under their heads. Columns of ``right`` end together; the last one is not padded."""
    lines = [[one_line(cell) for cell in row] for row in ([heads, *rows] if heads else rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    padded = []
    for column, (cell, whole) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (whole - width(cell))
        padded.append(space + cell if column in right else cell + space)
    return "  ".join(padded).rstrip()


def size(count: int) -> str:
    """A number of bytes for people: ``2.4 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
