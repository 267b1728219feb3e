"""``celloquy compare``: several cells trained under equal conditions, their losses drawn side by side."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cells.errors import CelloquyError, UsageError
from checkpoints.header import CLASSIFY, read_header
from checkpoints.interrupt import Interrupted
from checkpoints.loading import load_checkpoint
from checkpoints.options import BUDGETS
from checkpoints.samples import sample_text
from checkpoints.train import train
from plugins.registry import Registry
from repl.lab.draw.picture import LineChart, Lines, Panel, Picture, Series, Table

MINUTES = 2.0
"""For each run, when no other end is given."""

CURVE_POINTS = 25
"""Validations of a run that is given in steps."""

GRID = 60
"""Points at which the runs of several seeds are compared."""


@dataclass(frozen=True)
class Evaluation:
    """One validation: losses in nats a token, or a text where labels are told."""

    step: int
    seconds: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class Run:
    """One training run, as its log tells it; ``unit`` is what has a loss: a token, or a text where labels are told."""

    cell: str
    seed: int
    parameters: int
    tokens_per_second: float
    evaluations: list[Evaluation]
    sample: str
    unit: str = "token"

    @property
    def best(self) -> float:
        """The lowest validation loss."""
        return min(evaluation.loss for evaluation in self.evaluations)

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        points = [vars(evaluation) for evaluation in self.evaluations]
        own = {key: value for key, value in vars(self).items() if key != "evaluations"}
        return {**own, "best_val_loss": self.best, "evaluations": points}


def compare_lab(
    corpus: Sequence[Path], given: Mapping[str, Any], values: Mapping[str, Any], registry: Registry
) -> tuple[Picture, dict[str, Any]]:
    """Train, and return the picture and the numbers. ``given`` holds only what the person asked for."""
    cells = [cell.strip() for cell in values["cell"].split(",")]
    if len(set(cells)) != len(cells) or not all(cells):
        raise UsageError(f"cell must name each cell once, separated by commas, not {values['cell']!r}")
    for cell in cells:
        registry.create_cell(cell)  # a name that does not exist is found before hours are spent on the others
    conditions = training_options(given)
    if values["keep"] is not None:
        runs = train_all(corpus, cells, conditions, values, Path(values["keep"]), registry)
    else:
        with tempfile.TemporaryDirectory(prefix="celloquy-compare-") as folder:
            runs = train_all(corpus, cells, conditions, values, Path(folder), registry)
    return compare_picture(runs), {"conditions": conditions, "runs": [run.to_json() for run in runs]}


def training_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``train`` that all runs share: those given, an end, and how often to validate."""
    own = ("cell", "seeds", "keep", "sample", "out", "theme", "json", "seed")
    conditions = {key: value for key, value in given.items() if key not in own}
    if not any(conditions.get(key) for key in BUDGETS):
        conditions["minutes"] = MINUTES
    if conditions.get("steps") and "eval_every" not in conditions:
        conditions["eval_every"] = max(1, conditions["steps"] // CURVE_POINTS)
    if conditions.get("val") == 0 or conditions.get("eval_on") == "train":
        raise UsageError("val must be above 0, and eval-on val or both: cells are compared by their validation loss")
    return conditions


def train_all(
    corpus: Sequence[Path],
    cells: Sequence[str],
    conditions: Mapping[str, Any],
    values: Mapping[str, Any],
    folder: Path,
    registry: Registry,
) -> list[Run]:
    """Train every cell with every seed; seeds go round by round, so that a machine that slows down is fair to all."""
    runs = []
    for seed in range(values["seed"], values["seed"] + values["seeds"]):
        for cell in cells:
            name = f"compare-{seed}"
            try:
                (path,) = train(corpus, name=name, cell=cell, out=folder, registry=registry, seed=seed, **conditions)
            except Interrupted as stop:
                kept = f"; finished runs are in {folder}" if values["keep"] is not None else ""
                raise Interrupted(f"interrupted while training {cell}{kept}", stop.exit_status - 128) from None
            runs.append(read_run(path, cell, seed, values["sample"], registry))
    return runs


def read_run(path: Path, cell: str, seed: int, sample: int, registry: Registry) -> Run:
    """A finished run from its checkpoint and ``log.jsonl``. CelloquyError if it was never validated."""
    log = path.with_name(path.name.removesuffix(".safetensors") + ".run") / "log.jsonl"
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    done = next(event for event in reversed(events) if event["event"] == "done")
    a_step = done["tokens"] / max(done["step"], 1)
    evaluations = [
        Evaluation(event["step"], event["seconds"], event["step"] * a_step, event["val_loss"])
        for event in events
        if event["event"] == "eval"
    ]
    if not evaluations:
        raise CelloquyError(f"{cell} was never validated: the corpus is too short for a validation part")
    speeds = [event["tokens_per_second"] for event in events if event["event"] == "train"]
    header = read_header(path)
    tells_labels = header.task == CLASSIFY
    text = ""
    if sample and not tells_labels:
        loaded = load_checkpoint(path, registry=registry)
        text = sample_text(loaded.model, loaded.tokenizer, "", seed, sample)
    speed = statistics.median(speeds) if speeds else done["tokens"] / max(done["seconds"], 1e-9)
    return Run(cell, seed, header.parameters, speed, evaluations, text, "text" if tells_labels else "token")


def compare_picture(runs: Sequence[Run]) -> Picture:
    """Validation loss against time and against tokens, a table, and a sample of each cell."""
    by_cell: dict[str, list[Run]] = {}
    for run in runs:
        by_cell.setdefault(run.cell, []).append(run)
    panels: list[Panel] = [
        _chart("Validation loss against time", "seconds of training", "seconds", by_cell),
        _chart("Validation loss against text read", "tokens read", "tokens", by_cell),
        _table(by_cell),
    ]
    panels += [
        Lines(f"{cell} writes", group[0].sample.split("\n")) for cell, group in by_cell.items() if group[0].sample
    ]
    seeds = len(runs) // len(by_cell)
    note = "Every cell was trained with the same options, on the same text, for the same time or number of steps."
    if seeds > 1:
        note += f" Curves are means over {seeds} seeds; the band is from the best to the worst of them."
    return Picture("Cells under equal conditions", panels, note)


def _chart(title: str, label: str, axis: str, by_cell: Mapping[str, Sequence[Run]]) -> LineChart:
    series = [_series(cell, group, axis) for cell, group in by_cell.items()]
    highest = max(value for one in series for value in one.y)
    lowest = min(value for one in series for value in one.y)
    # the first validation of a short run may be far above all others and flatten them
    typical = statistics.median(value for one in series for value in one.y)
    limits = (lowest, min(highest, lowest + 6 * (typical - lowest))) if typical > lowest else None
    markers = len(by_cell) == sum(map(len, by_cell.values()))
    return LineChart(title, label, f"nats a {_unit(by_cell)}", series, y_limits=limits, markers=markers)


def _unit(by_cell: Mapping[str, Sequence[Run]]) -> str:
    return next(iter(by_cell.values()))[0].unit


def _series(cell: str, group: Sequence[Run], axis: str) -> Series:
    """A cell's curve; several seeds are read off at common places between the first and last that all have."""
    curves = [([getattr(one, axis) for one in run.evaluations], [one.loss for one in run.evaluations]) for run in group]
    if len(curves) == 1:
        return Series(cell, *curves[0])
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if end < start:  # runs of one or two validations each, at different times
        start = end = min(x[-1] for x, _ in curves)
    grid = np.linspace(start, end, GRID if end > start else 1)
    rows = np.stack([np.interp(grid, x, y) for x, y in curves])
    return Series(cell, grid.tolist(), rows.mean(0).tolist(), rows.min(0).tolist(), rows.max(0).tolist())


def _table(by_cell: Mapping[str, Sequence[Run]]) -> Table:
    rows = []
    for cell, group in by_cell.items():
        losses = [run.best for run in group]
        mean = statistics.fmean(losses)
        speed = statistics.median(run.tokens_per_second for run in group)
        row = [cell, f"{group[0].parameters:,}", f"{speed:,.0f}", f"{mean:.4f}", f"{mean / np.log(2):.3f}"]
        rows.append(row + ([f"{max(losses) - min(losses):.4f}"] if len(group) > 1 else []))
    header = ["cell", "parameters", "tokens/s", "best loss", f"bits a {_unit(by_cell)}"]
    several = any(len(group) > 1 for group in by_cell.values())
    return Table("", header + ["between seeds"] * several, rows)
