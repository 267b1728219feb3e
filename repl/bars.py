"""Shares as bars: a row for each label, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence

from repl.visible import one_line
from repl.widths import columns_of
from repl.wrap import Row, cut

MOST = 12
"""Labels that have a row of their own."""
LONGEST_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar_rows(shares: Sequence[tuple[str, float]], columns: int, *, unicode: bool = True) -> list[Row]:
    """``positive  ██████████████▎      71.2 %`` for each of the likeliest labels, none wider than ``columns``."""
    labels = [cut(one_line(label), max(1, columns // 2)) for label, _ in shares[:MOST]]
    width = max(map(columns_of, labels), default=0)
    room = max(0, min(LONGEST_BAR, columns - width - len("  100.0 %") - 2))
    rows: list[Row] = []
    for label, (_, share) in zip(labels, shares, strict=False):
        row: Row = [("", label + " " * (width - columns_of(label)) + "  ")]
        if room:
            drawn = bar(share, room, unicode=unicode)
            row += [("class:bar", drawn), ("", " " * (room - len(drawn)))]
        rows.append(_fitted([*row, ("", f"  {100 * share:5.1f} %")], columns))
    if len(shares) > MOST:
        rest = sum(share for _, share in shares[MOST:])
        rows.append([("class:dim", cut(f"{len(shares) - MOST} more, together {100 * rest:.1f} %", columns))])
    return rows


def bar(share: float, cells: int, *, unicode: bool = True) -> str:
    """A bar of at most so many cells, to an eighth of a cell where the terminal has such blocks."""
    if not unicode:
        return "#" * round(share * cells)
    eighths = round(share * cells * 8)
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


def _fitted(row: Row, columns: int) -> Row:
    fitted: Row = []
    for style, text in row:
        columns -= columns_of(text)
        if columns < 0:
            break
        fitted.append((style, text))
    return fitted
