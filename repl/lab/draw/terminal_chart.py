"""A line chart in the terminal: braille curves, a letter on each, and the letters explained below."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from repl.lab.draw.axes import Axis, Point, axes_of, runs
from repl.lab.draw.braille import Canvas
from repl.lab.draw.colours import TERMINAL, style_of
from repl.lab.draw.marks import cells, fit
from repl.lab.draw.picture import LineChart, Series
from repl.visible import one_line

ROWS = 14
MOST_BANDS = 4
"""With more curves than these their bands would hide them."""

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DASHES = ((1, 0), (3, 3), (1, 3))


def chart_lines(chart: LineChart, width: int, rows: int = ROWS) -> list[Text]:
    """The chart in ``width`` columns: y label, curves between axes, x label, one line or more of legend."""
    x_axis, y_axis = axes_of(chart)
    y_ticks = y_axis.ticks(max(rows // 3, 2))
    margin = max((cells(label) for _, label in y_ticks), default=0) + 1
    canvas = Canvas(max(width - margin - 1, 8), rows)
    colours = [TERMINAL[style_of(series, number)[0]] for number, series in enumerate(chart.series)]
    for number, series in enumerate(chart.series):
        _draw(canvas, series, number, x_axis, y_axis, len(chart.series))
    at_row = {round((1 - y_axis.place(value)) * (rows - 1)): label for value, label in y_ticks}
    lines = [Text(" " * margin + one_line(chart.y_label), style="dim")]
    for number in range(rows):
        label = at_row.get(number)
        line = Text(f"{label or '':>{margin - 1}} {'┤' if label else '│'}", style="dim")
        for character, owner in canvas.row(number):
            line.append(character, style="not dim" if owner is None else f"not dim {colours[owner]}")
        line.rstrip()
        lines.append(line)
    lines += _x_axis(one_line(chart.x_label), x_axis, margin, canvas.columns)
    return lines + _legend(chart.series, width)


def _draw(canvas: Canvas, series: Series, number: int, x_axis: Axis, y_axis: Axis, count: int) -> None:
    on, off = DASHES[style_of(series, number)[1]]
    for edge in (series.low, series.high) if count <= MOST_BANDS else ():
        for run in runs(_points(series.x, edge, x_axis, y_axis)):
            canvas.line(run, number, 1, 5)
    for run in runs(_points(series.x, series.y, x_axis, y_axis)):
        canvas.line(run, number, on, off)
    shown = [point for run in runs(_points(series.x, series.y, x_axis, y_axis)) for point in run]
    if shown:  # letters at places of their own, so that curves which lie on each other stay apart
        wanted = (number + 0.5) / count
        for centre in (wanted / 2, 0.5 + wanted / 2):
            canvas.letter(min(shown, key=lambda point: abs(point[0] - centre)), LETTERS[number % len(LETTERS)], number)


def _points(xs: Sequence[float], ys: Sequence[float], x_axis: Axis, y_axis: Axis) -> list[Point]:
    return [(x_axis.place(x), y_axis.place(y)) for x, y in zip(xs, ys, strict=False)]


def _x_axis(label: str, axis: Axis, margin: int, columns: int) -> list[Text]:
    rule, numbers = ["─"] * columns, [" "] * (columns + 8)
    for value, text in axis.ticks(max(columns // 12, 2)):
        place = round(axis.place(value) * (columns - 1))
        start = min(max(place - len(text) // 2, 0), columns - len(text))
        if all(character == " " for character in numbers[max(start - 1, 0) : start + len(text) + 1]):
            rule[place] = "┬"
            numbers[start : start + len(text)] = text
    pad = " " * margin
    return [
        Text(f"{pad}└{''.join(rule)}", style="dim"),
        Text(f"{pad} {''.join(numbers).rstrip()}", style="dim"),
        Text(f"{pad} {fit(label.rjust(columns), columns)}", style="dim"),
    ]


def _legend(series: Sequence[Series], width: int) -> list[Text]:
    lines = [Text()]
    for number, one in enumerate(series):
        entry = f"{LETTERS[number % len(LETTERS)]} {one_line(one.label)}"
        if lines[-1].cell_len and lines[-1].cell_len + cells(entry) + 3 > width:
            lines.append(Text())
        lines[-1].append("   " if lines[-1].cell_len else "")
        lines[-1].append(entry, style=TERMINAL[style_of(one, number)[0]])
    return lines
