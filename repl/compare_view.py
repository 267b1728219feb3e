"""Columns side by side as rows of a terminal; one under the other where it is too narrow."""

from __future__ import annotations

from collections.abc import Sequence

from repl.widths import columns_of
from repl.wrap import Fragment, Row, cut, wrap

NARROWEST = 18
"""Columns of text narrower than this are put one under the other."""
GAP = 2

Column = tuple[str, str, str]
"""Title, text, and the line underneath."""


def columns_as_rows(columns: Sequence[Column], width: int, height: int | None = None) -> list[Row]:
    """Rows of at most ``width`` cells. With ``height``, only the last rows of each text, to fit that many in all."""
    each = (width - GAP * (len(columns) - 1)) // max(1, len(columns))
    if each < NARROWEST:
        return _stacked(columns, width, height)
    texts = [wrap([("", text)], each) for _, text, _ in columns]
    if height is not None:
        texts = [rows[-max(1, height - 2) :] for rows in texts]
    depth = max(map(len, texts), default=0)
    rows = [_line([[("class:title", cut(title, each))] for title, _, _ in columns], each)]
    rows += [_line([text[number] if number < len(text) else [] for text in texts], each) for number in range(depth)]
    return [*rows, _line([[("class:dim", cut(foot, each))] for _, _, foot in columns], each)]


def _stacked(columns: Sequence[Column], width: int, height: int | None) -> list[Row]:
    share = None if height is None else max(1, height // max(1, len(columns)) - 1)
    rows: list[Row] = []
    for title, text, foot in columns:
        head = cut(f"{title}  {foot}", width)
        body = wrap([("", text)], width)
        rows += [[("class:title", head[: len(title)]), ("class:dim", head[len(title) :])]]
        rows += body if share is None else body[-share:]
    return rows


def _line(cells: Sequence[Row], each: int) -> Row:
    line: list[Fragment] = []
    for number, cell in enumerate(cells):
        line += cell
        if number < len(cells) - 1:
            line.append(("", " " * (each + GAP - sum(columns_of(text) for _, text in cell))))
    return line
