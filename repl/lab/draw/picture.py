"""What a picture is made of, before anything is drawn: charts, heat maps, coloured text, tables and lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """One curve. ``low`` and ``high`` bound a band around it; values that are not finite are gaps.

    Curves with the same ``colour`` and another ``dash`` are seen to belong together; left at None, both are chosen
    by the curve's place in the chart.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int | None = None
    dash: int = 0


@dataclass(frozen=True)
class LineChart:
    """Curves over one pair of axes. ``y_limits`` are the widest range shown; a curve that leaves it is cut off."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_y: bool = False
    y_limits: tuple[float, float] | None = None
    markers: bool = False


@dataclass(frozen=True)
class Scale:
    """The values that the ends of a colour ramp stand for. ``diverging`` puts the neutral colour at 0."""

    low: float
    high: float
    diverging: bool = False

    def place(self, value: float) -> float:
        """Where a value stands on the ramp, 0 to 1; NaN stands at the low end."""
        span = self.high - self.low
        place = (value - self.low) / span if span > 0 else 0.0
        return min(max(place, 0.0), 1.0) if place == place else 0.0

    @classmethod
    def around_zero(cls, values: Sequence[Sequence[float]], least: float = 0.0) -> Scale:
        """A diverging scale that holds all the values."""
        largest = max((abs(value) for row in values for value in row if abs(value) < float("inf")), default=0.0)
        largest = max(largest, least) or 1.0
        return cls(-largest, largest, True)


@dataclass(frozen=True)
class HeatGroup:
    """Rows of values under one heading: one gate or state of a layer. ``values[row][column]``."""

    title: str
    rows: Sequence[str]
    values: Sequence[Sequence[float]]
    scale: Scale


@dataclass(frozen=True)
class HeatMap:
    """Groups of rows over the same columns; ``columns`` are the pieces of text that stand along them."""

    title: str
    columns: Sequence[str]
    groups: Sequence[HeatGroup]


@dataclass(frozen=True)
class ColouredText:
    """Running text, each piece on the colour of its value."""

    title: str
    pieces: Sequence[str]
    values: Sequence[float]
    scale: Scale


@dataclass(frozen=True)
class Table:
    """Rows under headings; columns whose cells are numbers are set to the right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Lines:
    """Lines of text in fixed pitch: equations, a sample."""

    title: str
    lines: Sequence[str]


Panel = LineChart | HeatMap | ColouredText | Table | Lines


@dataclass(frozen=True)
class Picture:
    """Panels one below the other. ``note`` says in a sentence or two what is to be seen."""

    title: str
    panels: Sequence[Panel]
    note: str = ""
