"""Heat maps and coloured text as shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repl.lab.draw.colours import FAINT, GRID, LEVELS, Paint, ink_on, ramp
from repl.lab.draw.marks import bands, cells, mark
from repl.lab.draw.picture import ColouredText, HeatMap, Scale
from repl.lab.draw.scene import Box, Label, Scene
from repl.lab.draw.terminal_heat import named_scales, rows_of
from repl.visible import one_line

CELL = 10.5
"""Width of one terminal cell's worth of text."""
ROW = 13.0
LEFT = 66.0


def lay_heat(scene: Scene, heat: HeatMap, x: float, y: float, width: float) -> float:
    """Lay the map in bands of columns; returns the y below it."""
    labels = [mark(piece) for piece in heat.columns]
    widths = [max(cells(label), 1) for label in labels]
    row_height = ROW if sum(len(group.rows) for group in heat.groups) <= 160 else 5.0
    for band in bands(widths, int((width - LEFT) / CELL)):
        starts = _starts(band, widths, x + LEFT)
        for column in band:
            middle = starts[column] + widths[column] * CELL / 2
            scene.add(Label(middle, y + 12, labels[column], 12, anchor="middle", mono=True))
        y += 19
        for group in heat.groups:
            scene.add(Label(x, y + 11, one_line(group.title), 12, FAINT, bold=True))
            y += 17
            for label, values in zip(group.rows, group.values, strict=True):
                if row_height >= ROW:
                    scene.add(Label(x + LEFT - 8, y + 10.5, one_line(label), 11, FAINT, "end"))
                for column in band:
                    paint = value_paint(values[column], group.scale)
                    scene.add(Box(starts[column], y, widths[column] * CELL, row_height, paint))
                y += row_height
            y += 8
        y += 10
    return lay_scales(scene, named_scales(heat), x + LEFT, y)


def _starts(band: range, widths: Sequence[int], x: float) -> dict[int, float]:
    starts = {}
    for column in band:
        starts[column] = x
        x += widths[column] * CELL
    return starts


def value_paint(value: float, scale: Scale) -> Paint:
    """A value's colour; what is not a number takes the colour of the grid."""
    return ramp(scale.place(value), scale.diverging) if value == value else GRID


def lay_scales(scene: Scene, scales: Mapping[Scale, str], x: float, y: float) -> float:
    """The ramps, each between the numbers of its ends, and what it belongs to."""
    for scale, name in scales.items():
        scene.add(Label(x, y + 10, f"{scale.low:.3g}", 11, FAINT, "end"))
        for level in range(LEVELS):
            scene.add(Box(x + 6 + level * 4, y, 4, 12, ramp(level / (LEVELS - 1), scale.diverging)))
        scene.add(Label(x + 12 + LEVELS * 4, y + 10, f"{scale.high:.3g}   {name}".rstrip(), 11, FAINT))
        y += 19
    return y + 4


def lay_text(scene: Scene, panel: ColouredText, x: float, y: float, width: float) -> float:
    """Running text, each piece on the colour of its value."""
    labels = [mark(piece) for piece in panel.pieces]
    widths = [max(cells(label), 1) for label in labels]
    for row in rows_of(panel.pieces, widths, int(width / CELL)):
        across = x
        for number in row:
            wide = widths[number] * CELL
            paint = value_paint(panel.values[number], panel.scale)
            scene.add(Box(across, y, wide, 20, paint))
            if panel.pieces[number] != " ":
                ink = Paint(ink_on(paint.light), ink_on(paint.dark))
                scene.add(Label(across + wide / 2, y + 14.5, labels[number], 13, ink, "middle", mono=True))
            across += wide
        y += 23
    return lay_scales(scene, {panel.scale: ""}, x + LEFT / 2, y + 6)
