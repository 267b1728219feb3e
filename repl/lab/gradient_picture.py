"""Gradient studies as a picture: norms over lag, singular values, norms over depth, and a table of the rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from repl.lab.clipping import TrainingRun
from repl.lab.draw.picture import LineChart, Panel, Series, Table
from repl.lab.gradients import GradientCurve, GradientStudy, per_step

LIMITS = (1e-12, 1e12)
"""What the charts show: float32 adds nothing smaller than 1e-7 of a sum, and nobody trains with more than 1e12."""

LAGS = (1, 10, 50, 100, 200, 500, 1000)
VERDICT = 1e3
"""A gradient that falls or grows by this factor over the lags measured is said to vanish or to explode."""


def study_panels(title: str, studies: Sequence[GradientStudy]) -> list[Panel]:
    """What there is to see of some networks: by lag, by depth where there are layers, the singular values, a table."""
    deep = [study for study in studies if study.layers > 1]
    panels: list[Panel] = [_by_lag(title, studies)]
    if deep:
        panels.append(_by_depth(deep))
    if any(study.log_singular for study in studies):
        panels.append(_singular(studies))
    return [*panels, rate_table(studies)]


def relative(study: GradientStudy, curve: GradientCurve, values: Sequence[float]) -> list[float]:
    """Norms as multiples of |dL/dh| of the last layer at lag 0; NaN where that is 0."""
    reference = study.reference
    return [value / reference if reference > 0 else math.nan for value in values]


def _styles(studies: Sequence[GradientStudy]) -> dict[tuple[str, str], int]:
    """A colour for each state of each network; the untrained and the trained one share theirs."""
    keys = [(_network(study), curve.state) for study in studies for curve in study.curves]
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}


def _network(study: GradientStudy) -> str:
    return str(study.facts.get("network", study.label))


def _dash(study: GradientStudy) -> int:
    return 1 if study.facts.get("trained") is False else 0


def _name(study: GradientStudy, curve: GradientCurve) -> str:
    several = len({other.state for other in study.curves}) > 1
    return f"{study.label} {curve.state}" if several else study.label


def _by_lag(title: str, studies: Sequence[GradientStudy]) -> LineChart:
    colours = _styles(studies)
    series = []
    for study in studies:
        for curve in study.curves:
            if curve.layer != study.layers:
                continue
            y, low, high = (relative(study, curve, values) for values in (curve.median, curve.low, curve.high))
            colour = colours[(_network(study), curve.state)]
            label, x = _name(study, curve), range(len(curve.median))
            series.append(Series(label, x, y, low, high, colour, _dash(study)))
    return LineChart(title, "k, steps back", "|dL_t/ds_(t-k)| over |dL_t/dh_t|", series, log_y=True, y_limits=LIMITS)


def _by_depth(studies: Sequence[GradientStudy]) -> LineChart:
    series = []
    for study in studies:
        curves = [curve for curve in study.curves if curve.state == study.output]
        heights = [relative(study, curve, curve.median[:1])[0] for curve in curves]
        series.append(Series(study.label, [curve.layer for curve in curves], heights))
    return LineChart(
        "Down through the layers, at the same step",
        "layer (the loss is above the last)",
        "|dL_t/dh_t| of a layer over that of the last",
        series,
        log_y=True,
        y_limits=LIMITS,
        markers=True,
    )


def _singular(studies: Sequence[GradientStudy]) -> LineChart:
    series, colours = [], _styles(studies)
    for study in studies:
        if study.log_singular:
            values = [math.exp(value) if -700 < value < 700 else math.nan for value in study.log_singular]
            colour = colours[(_network(study), study.output)]
            series.append(Series(study.label, range(1, len(values) + 1), values, colour=colour, dash=_dash(study)))
    return LineChart(
        "The product of the step Jacobians, whatever the loss",
        "k, steps multiplied",
        "largest singular value",
        series,
        log_y=True,
        y_limits=LIMITS,
    )


def rate_table(studies: Sequence[GradientStudy]) -> Table:
    """For the last layer: relative norms at some lags, the factor a step, and what that means."""
    length = len(studies[0].curves[0].median) - 1
    lags = [lag for lag in LAGS if lag <= length]
    rows = []
    for study in studies:
        for curve in study.curves:
            if curve.layer == study.layers:
                shown = relative(study, curve, curve.median)
                numbers = [_short(shown[lag]) for lag in lags]
                rate = per_step(curve.median)
                rows.append(
                    [study.label, curve.state, *numbers, f"×{rate:.3f}" if rate == rate else "–", verdict(shown)]
                )
    return Table("", ["network", "state", *(f"k={lag}" for lag in lags), "a step", "it"], rows)


def verdict(norms: Sequence[float]) -> str:
    """vanishes, explodes or carries, from the first lag with a gradient (1 if there is one) to the last."""
    first = next((value for value in norms[1:] if value > 0), 0.0)
    if first == 0.0:
        return "is not fed back"
    last = norms[-1]
    if math.isnan(last) or last / first > VERDICT:
        return "explodes"
    return "vanishes" if last / first < 1 / VERDICT else "carries"


def clipping_panels(runs: Sequence[TrainingRun]) -> list[Panel]:
    """Loss and gradient norm over the steps of training runs."""
    charts: list[Panel] = []
    for title, label, name, log in (
        ("Training with and without gradient clipping", "loss, nats a token", "loss", False),
        ("The gradient of all weights before it is clipped", "norm", "norm", True),
    ):
        series = [
            Series(_run_name(run), range(1, len(run.loss) + 1), getattr(run, name), colour=number)
            for number, run in enumerate(runs)
        ]
        limits = (1e-4, 1e12) if log else (0.0, 10.0)
        charts.append(LineChart(title, "step", label, series, log_y=log, y_limits=limits))
    rows = [
        [_run_name(run), _short(max(run.norm)), f"{run.loss[-1]:.2f}" if run.survived else "–", _end(run)]
        for run in runs
    ]
    return [*charts, Table("", ["run", "largest norm", "last loss", "it"], rows)]


def _run_name(run: TrainingRun) -> str:
    return f"{run.label}, {f'clip {run.clip:g}' if run.clip else 'no clipping'}"


def _end(run: TrainingRun) -> str:
    return "trains" if run.survived else f"overflows at step {len(run.loss)}"


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.2g}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.0e}"
