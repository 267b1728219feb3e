"""A line chart as shapes: axes, grid, bands, curves, and each curve's name where it ends."""

from __future__ import annotations

from collections.abc import Sequence

from repl.lab.draw.axes import Axis, Point, axes_of, runs
from repl.lab.draw.colours import DASHES, FAINT, GRID, SERIES, style_of
from repl.lab.draw.marks import cells
from repl.lab.draw.picture import LineChart, Series
from repl.lab.draw.scene import Area, Dot, Label, Scene, Stroke
from repl.visible import one_line

HEIGHT = 330.0
LEFT = 62.0
LINE = 17.0
"""Least distance between the names of two curves."""


def lay_chart(scene: Scene, chart: LineChart, x: float, y: float, width: float) -> float:
    """Lay the chart; returns the y below it."""
    names = [one_line(series.label) for series in chart.series]
    right = min(max((cells(name) for name in names), default=0) * 7.4 + 44, width * 0.4)
    x_axis, y_axis = axes_of(chart)
    frame = _Frame(x + LEFT, y + 30, width - LEFT - right, max(HEIGHT, len(names) * LINE), x_axis, y_axis)
    scene.add(Label(x, y + 11, one_line(chart.y_label), 12, FAINT))
    _grid(scene, frame, one_line(chart.x_label))
    for number, series in enumerate(chart.series):
        _curve(scene, frame, series, number, chart.markers)
    _names(scene, frame, chart.series, names)
    return frame.bottom + 44


class _Frame:
    """The rectangle of the axes, and where values stand in it."""

    def __init__(self, left: float, top: float, width: float, height: float, x_axis: Axis, y_axis: Axis) -> None:
        self.left, self.top, self.width, self.height = left, top, width, height
        self.x_axis, self.y_axis = x_axis, y_axis

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def point(self, place: Point) -> Point:
        """Pixels of a point of the unit square."""
        return self.left + place[0] * self.width, self.bottom - place[1] * self.height

    def runs(self, xs: Sequence[float], ys: Sequence[float]) -> list[list[Point]]:
        """A curve as runs of pixels."""
        places = [(self.x_axis.place(x), self.y_axis.place(y)) for x, y in zip(xs, ys, strict=False)]
        return [[self.point(place) for place in run] for run in runs(places)]


def _grid(scene: Scene, frame: _Frame, x_label: str) -> None:
    for value, text in frame.y_axis.ticks(7):
        level = frame.point((0, frame.y_axis.place(value)))[1]
        scene.add(Stroke([(frame.left, level), (frame.left + frame.width, level)], GRID))
        scene.add(Label(frame.left - 8, level + 4, text, 12, FAINT, "end"))
    for value, text in frame.x_axis.ticks(9):
        across = frame.point((frame.x_axis.place(value), 0))[0]
        scene.add(Stroke([(across, frame.bottom), (across, frame.bottom + 5)], FAINT))
        scene.add(Label(across, frame.bottom + 19, text, 12, FAINT, "middle"))
    scene.add(Stroke([(frame.left, frame.bottom), (frame.left + frame.width, frame.bottom)], FAINT))
    scene.add(Label(frame.left + frame.width / 2, frame.bottom + 37, x_label, 12, FAINT, "middle"))


def _curve(scene: Scene, frame: _Frame, series: Series, number: int, markers: bool) -> None:
    colour, dash = style_of(series, number)
    paint = SERIES[colour]
    for outline in _band(frame, series):
        scene.add(Area(outline, paint, 0.16))
    for run in frame.runs(series.x, series.y):
        if len(run) > 1:
            scene.add(Stroke(run, paint, 2.0, DASHES[dash]))
        if markers or len(run) == 1:
            scene.add(*(Dot(x, y, 3.0, paint) for x, y in run))


def _band(frame: _Frame, series: Series) -> list[list[Point]]:
    """The outlines between ``low`` and ``high``, cut to the frame, interrupted where either is a gap."""
    outlines: list[list[Point]] = []
    upper: list[Point] = []
    lower: list[Point] = []
    for x, low, high in zip(series.x, series.low, series.high, strict=False):
        places = [(frame.x_axis.place(x), frame.y_axis.place(value)) for value in (low, high)]
        if any(place[1] != place[1] for place in places):
            outlines.append(upper + lower[::-1])
            upper, lower = [], []
            continue
        bottom, top = (frame.point((place[0], min(max(place[1], 0.0), 1.0))) for place in places)
        lower.append(bottom)
        upper.append(top)
    outlines.append(upper + lower[::-1])
    return [outline for outline in outlines if len(outline) > 2]


def _names(scene: Scene, frame: _Frame, series: Sequence[Series], names: Sequence[str]) -> None:
    """Each name beside its curve's last point, pushed apart where two would touch."""
    ends = []
    for number, one in enumerate(series):
        shown = frame.runs(one.x, one.y)
        last = shown[-1][-1] if shown else (frame.left, frame.bottom)
        early = frame.left + frame.width - last[0]  # of curves that leave by the same edge, the first is outermost
        ends.append((last[1], early if last[1] > frame.top + frame.height / 2 else -early, number, last))
    placed = spread([end[0] for end in sorted(ends)], LINE, frame.top, frame.bottom)
    for level, (_, _, number, last) in zip(placed, sorted(ends), strict=True):
        start = frame.left + frame.width + 8
        colour, dash = style_of(series[number], number)
        paint = SERIES[colour]
        if last[0] > frame.left + frame.width - 12:
            scene.add(Stroke([(last[0], last[1]), (start + 4, level)], GRID))
        scene.add(Stroke([(start + 4, level), (start + 24, level)], paint, 2.0, DASHES[dash]))
        scene.add(Label(start + 29, level + 4, names[number], 12.5, paint, bold=True))


def spread(levels: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Rising levels moved as little as needed to stand ``distance`` apart between ``low`` and ``high``."""
    placed: list[float] = []
    for level in levels:
        placed.append(max(level, placed[-1] + distance if placed else low))
    ceiling = high
    for number in range(len(placed) - 1, -1, -1):
        placed[number] = min(placed[number], ceiling)
        ceiling = placed[number] - distance
    return placed
