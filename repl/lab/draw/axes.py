"""Axes: which range to show, where a value stands in it, and which values to mark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repl.lab.draw.picture import LineChart

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A range, low to high; with ``log`` both are above 0."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at ``low``, 1 at ``high``; NaN for what has no place (0 on a logarithmic axis)."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most about ``most`` round values, each with its label."""
        values = self._decades(most) if self.log else self._round_values(most)
        return [(value, number_label(value, self.log)) for value in values]

    def _decades(self, most: int) -> list[float]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        if last <= first:
            return Axis(self.low, self.high)._round_values(most)
        step = next(step for step in (1, 2, 3, 4, 5, 10, 20, 50, 100, 1000) if (last - first) // step < max(most, 2))
        return [10.0**power for power in range(first, last + 1) if power % step == 0]

    def _round_values(self, most: int) -> list[float]:
        span = self.high - self.low
        rough = span / max(most - 1, 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def number_label(value: float, log: bool = False) -> str:
    """A tick's label: ``0.25``, ``200``, ``20k``, ``1e-12``."""
    if value == 0:
        return "0"
    size = abs(value)
    if log and not 0.01 <= size < 1000:
        power = math.log10(size)
        return f"1e{round(power)}" if math.isclose(power, round(power)) else f"{value:.0e}"
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.6g}"


def axes_of(chart: LineChart) -> tuple[Axis, Axis]:
    """The axes that show all of a chart's curves, within its limits."""
    xs = [value for series in chart.series for value in series.x if math.isfinite(value)]
    ys = [
        value
        for series in chart.series
        for values in (series.y, series.low, series.high)
        for value in values
        if math.isfinite(value) and (value > 0 or not chart.log_y)
    ]
    x_low, x_high = min(xs, default=0.0), max(xs, default=1.0)
    if x_high <= x_low:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    return Axis(x_low, x_high), _y_axis(chart, ys)


def _y_axis(chart: LineChart, values: Sequence[float]) -> Axis:
    low, high = min(values, default=0.1 if chart.log_y else 0.0), max(values, default=1.0)
    if chart.y_limits is not None:
        floor, ceiling = chart.y_limits
        low, high = min(max(low, floor), ceiling), max(min(high, ceiling), floor)
    if chart.log_y:
        low, high = 10.0 ** math.floor(math.log10(low) + 1e-9), 10.0 ** math.ceil(math.log10(high) - 1e-9)
        return Axis(low, high * 10 if high <= low else high, True)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    margin = (high - low) * 0.04
    return Axis(low - margin if low != 0 else low, high + margin)


def runs(points: Iterable[Point]) -> list[list[Point]]:
    """A curve in the unit square, cut where it has gaps (NaN) and where it leaves 0 <= y <= 1."""
    found: list[list[Point]] = [[]]
    before: Point | None = None
    for point in points:
        if math.isnan(point[0]) or math.isnan(point[1]):
            before = None
            found.append([])
            continue
        for piece in _clipped(before, point):
            if found[-1] and found[-1][-1] != piece[0]:
                found.append([])
            found[-1] += piece if not found[-1] else piece[1:]
        before = point
    return [run for run in found if run]


def _clipped(start: Point | None, end: Point) -> list[list[Point]]:
    """The part of a segment inside the square, as none or one list of points."""
    if start is None:
        return [[end]] if 0 <= end[1] <= 1 else []
    low, rise = start[1], end[1] - start[1]
    if rise == 0:
        return [[start, end]] if 0 <= low <= 1 else []
    enters, leaves = sorted(((0 - low) / rise, (1 - low) / rise))
    first, last = max(0.0, enters), min(1.0, leaves)
    if first > last:
        return []
    return [[_along(start, end, first), _along(start, end, last)]]


def _along(start: Point, end: Point, share: float) -> Point:
    if share in (0.0, 1.0):
        return start if share == 0.0 else end
    return start[0] + (end[0] - start[0]) * share, min(max(start[1] + (end[1] - start[1]) * share, 0.0), 1.0)
