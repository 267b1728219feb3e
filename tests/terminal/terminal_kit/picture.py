"""A terminal's screen as an SVG: each run of one style a text of its own, on cells of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from prompt_toolkit.utils import get_cwidth
from pyte.screens import Char, HistoryScreen

CELL, ROW, SIZE = 8.4, 18.0, 14
"""Pixels of a cell's width and of a row, and of the letters."""
EDGE = 14.0
GROUND, INK = "#14171a", "#e8eaed"
ANSI = {
    "black": "#14171a",
    "red": "#f2777a",
    "green": "#8fd18a",
    "brown": "#f0c674",
    "blue": "#6cb6ff",
    "magenta": "#d7a0e8",
    "cyan": "#6ed0d0",
    "white": "#e8eaed",
    "brightblack": "#8b949e",
}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Run = tuple[int, int, str, Char]
"""First column, columns, text, style."""


def screen_svg(screen: HistoryScreen, title: str) -> str:
    """The rows of the screen down to the last one that shows anything."""
    rows = [list(_runs(screen, number)) for number in range(screen.lines)]
    while rows and not any(text.strip() or style.bg != "default" for _, _, text, style in rows[-1]):
        rows.pop()
    width, height = 2 * EDGE + CELL * screen.columns, 2 * EDGE + ROW * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{GROUND}"/>',
        f'<g font-family="{FONT}" font-size="{SIZE}" xml:space="preserve">',
    ]
    for number, row in enumerate(rows):
        for run in row:
            lines += _drawn(EDGE + ROW * number, *run)
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _runs(screen: HistoryScreen, number: int) -> Iterator[Run]:
    """The row's stretches of one style; a wide character is one of its own, since its width is the font's choice."""
    line = screen.buffer[number]
    cells = [(column, line[column]) for column in range(screen.columns) if line[column].data]

    def kind(cell: tuple[int, Char]) -> tuple[object, ...]:
        column, one = cell
        return (one._replace(data=""), column if get_cwidth(one.data) != 1 else -1)

    for _, group in groupby(cells, kind):
        run = list(group)
        text = "".join(one.data for _, one in run)
        columns = sum(max(1, get_cwidth(one.data)) for _, one in run)
        yield run[0][0], columns, text, run[0][1]


def _drawn(top: float, column: int, columns: int, text: str, style: Char) -> Iterator[str]:
    x, wide = EDGE + CELL * column, CELL * columns
    ink, ground = _colour(style.fg, INK), _colour(style.bg, GROUND)
    if style.reverse:
        ink, ground = ground, ink
    if ground != GROUND:
        yield f'<rect x="{x:.1f}" y="{top:g}" width="{wide:.1f}" height="{ROW:g}" fill="{ground}"/>'
    if text.strip():
        extra = ' font-weight="bold"' if style.bold else ""
        extra += ' font-style="italic"' if style.italics else ""
        extra += ' text-decoration="underline"' if style.underscore else ""
        kept = text.rstrip()
        length = f'textLength="{wide - CELL * (len(text) - len(kept)):.1f}" lengthAdjust="spacingAndGlyphs"'
        yield f'<text x="{x:.1f}" y="{top + ROW * 0.75:.1f}" {length} fill="{ink}"{extra}>{escape(kept)}</text>'


def _colour(name: str, default: str) -> str:
    """A colour as pyte has it: a name, six hexadecimal digits, or the default."""
    return default if name == "default" else ANSI.get(name, f"#{name}")
