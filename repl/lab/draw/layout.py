"""From a picture to a scene: where everything stands. Charts and heat maps have their own modules."""

from __future__ import annotations

from repl.lab.draw.colours import FAINT, INK
from repl.lab.draw.layout_chart import lay_chart
from repl.lab.draw.layout_heat import lay_heat, lay_text
from repl.lab.draw.marks import cells, wrapped
from repl.lab.draw.picture import ColouredText, HeatMap, LineChart, Lines, Panel, Picture, Table
from repl.lab.draw.scene import Label, Scene
from repl.lab.draw.terminal import numeric_columns
from repl.visible import one_line, visible

WIDTH = 1040.0
EDGE = 28.0
LINE = 120
"""Cells of fixed pitch in a line."""
INDENT = "    "
PITCH = 0.62
"""Width of a fixed-pitch character, as a share of its size."""


def lay_out(picture: Picture) -> Scene:
    """Every panel below the one before, at one width."""
    scene = Scene(WIDTH, one_line(picture.title), visible(picture.note))
    y = EDGE
    if picture.title:
        scene.add(Label(EDGE, y + 18, scene.title, 20, bold=True))
        y += 34
    for line in wrapped(scene.note, 140) if scene.note else []:
        scene.add(Label(EDGE, y + 12, line, 13, FAINT))
        y += 19
    for panel in picture.panels:
        y += 14
        if panel.title:
            scene.add(Label(EDGE, y + 13, one_line(panel.title), 15, bold=True))
            y += 28
        y = _panel(scene, panel, y)
    scene.height = y + EDGE
    return scene


def _panel(scene: Scene, panel: Panel, y: float) -> float:
    """Lay one panel from ``y`` down; where the next may begin."""
    if isinstance(panel, LineChart):
        return lay_chart(scene, panel, EDGE, y, WIDTH - 2 * EDGE)
    if isinstance(panel, HeatMap):
        return lay_heat(scene, panel, EDGE, y, WIDTH - 2 * EDGE)
    if isinstance(panel, ColouredText):
        return lay_text(scene, panel, EDGE, y, WIDTH - 2 * EDGE)
    if isinstance(panel, Table):
        return _table(scene, panel, y)
    assert isinstance(panel, Lines)
    for text in panel.lines:
        for line in wrapped(visible(text), LINE, INDENT):
            scene.add(Label(EDGE, y + 13, line, 13, mono=True))
            y += 19
    return y + 6


def _table(scene: Scene, table: Table, y: float) -> float:
    size = 13.0
    rows = [[one_line(cell) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(cells(cell) for cell in column) * size * PITCH for column in zip(*rows, strict=True)]
    right = numeric_columns(table)
    for number, row in enumerate(rows):
        x = EDGE
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            end = column in right
            place, anchor = (x + width, "end") if end else (x, "start")
            scene.add(Label(place, y + 13, cell, size, INK if number else FAINT, anchor, mono=True))
            x += width + 22
        y += 20
    return y + 6
