"""A picture in the terminal, at its width."""

from __future__ import annotations

import os

from rich.console import Console
from rich.text import Text

from repl.lab.draw.marks import cells, fit, wrapped
from repl.lab.draw.picture import ColouredText, HeatMap, LineChart, Lines, Panel, Picture, Table
from repl.lab.draw.terminal_chart import chart_lines
from repl.lab.draw.terminal_heat import heat_lines, text_lines
from repl.visible import one_line, visible

NARROWEST = 20


def picture_lines(picture: Picture, width: int, colour: bool, theme: str = "dark") -> list[Text]:
    """Every line of a picture; none is wider than ``width`` cells unless a table's columns need it."""
    width = max(width, NARROWEST)
    lines = [Text(one_line(picture.title), style="bold")] if picture.title else []
    lines += [Text(line, style="dim") for line in wrapped(visible(picture.note), width) if line]
    for panel in picture.panels:
        lines.append(Text())
        if panel.title:
            lines.append(Text(one_line(panel.title), style="bold"))
        drawn = _panel(panel, width, colour, theme)
        for line in drawn:
            if not isinstance(panel, Table):  # a table that is too wide is better broken than cut
                line.truncate(width)
        lines += drawn
    return lines


def _panel(panel: Panel, width: int, colour: bool, theme: str) -> list[Text]:
    if isinstance(panel, LineChart):
        return chart_lines(panel, width)
    if isinstance(panel, HeatMap):
        return heat_lines(panel, width, colour, theme)
    if isinstance(panel, ColouredText):
        return text_lines(panel, width, colour, theme)
    if isinstance(panel, Table):
        return table_lines(panel)
    assert isinstance(panel, Lines)
    return [Text(line) for text in panel.lines for line in wrapped(visible(text), width, "    ")]


def table_lines(table: Table) -> list[Text]:
    """Headings, then rows; two blanks between columns."""
    rows = [[one_line(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(cells(cell) for cell in column) for column in zip(*rows, strict=True)]
    right = numeric_columns(table)
    lines = []
    for number, row in enumerate(rows):
        shown = [
            " " * (width - cells(cell)) + cell if column in right else fit(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(Text("  ".join(shown).rstrip(), style="dim" if number == 0 else ""))
    return lines


def numeric_columns(table: Table) -> set[int]:
    """The columns whose cells are numbers, or blank, in every row."""
    return {
        column
        for column in range(len(table.header))
        if table.rows and all(not row[column] or row[column][0] in "0123456789-+−×–<>" for row in table.rows)
    }


def has_colour(console: Console) -> bool:
    """Whether blocks of colour will be seen: a terminal with colours, and NO_COLOR not set."""
    return console.is_terminal and console.color_system is not None and not console.no_color


def ground_theme() -> str:
    """Whether the terminal says that its ground is light (COLORFGBG, as rxvt and others set it); dark otherwise."""
    last = os.environ.get("COLORFGBG", "").rsplit(";", 1)[-1]
    return "light" if last in ("7", "15") else "dark"


def show(picture: Picture, console: Console) -> None:
    """Print a picture on a console."""
    colour = has_colour(console)
    for line in picture_lines(picture, console.width, colour, ground_theme()):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
