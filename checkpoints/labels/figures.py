"""How well a classifier does: accuracy, precision and recall of each label, confusion, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from cells.errors import CelloquyError

BINS = 10
MOST_CONFUSED = 30
"""Labels up to which the confusion matrix is kept; with more nobody could read it."""

Probabilities = NDArray[numpy.float64]


def figures(probabilities: Probabilities, labels: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """The figures of probabilities [N, C] for N texts whose labels are known.

    ``loss`` is the mean of -log p(label) in nats a text, ``macro_f1`` the mean of the labels' F1. ``labels``: of each
    its ``precision``, ``recall``, ``f1`` (None where nothing was given, or was to be given, this label) and ``texts``.
    ``confusion``: a row for each true label, a column for each given one. ``calibration``: ten bins of confidence, each
    with its number of texts, mean confidence and accuracy; ``calibration_error`` is the expected calibration error over
    them (Naeini, Cooper and Hauskrecht 2015), ``brier`` the Brier score summed over labels (Brier 1950). Raises
    CelloquyError if there is no text.
    """
    true = numpy.asarray(labels, dtype=numpy.int64)
    if not len(true):
        raise CelloquyError("there is no labelled text to judge by")
    given = probabilities.argmax(1)
    right = given == true
    rows = numpy.arange(len(true))
    nats = -numpy.log(numpy.maximum(probabilities[rows, true], 1e-45))
    confusion = numpy.zeros((len(names), len(names)), dtype=numpy.int64)
    numpy.add.at(confusion, (true, given), 1)
    by_label = [_of_label(confusion, number, name) for number, name in enumerate(names)]
    bins, error = _calibration(probabilities.max(1), right)
    squared = float(numpy.square(probabilities).sum(1).mean() - 2 * probabilities[rows, true].mean() + 1)
    found: dict[str, Any] = {
        "texts": len(true),
        "loss": float(nats.mean()),
        "accuracy": float(right.mean()),
        "macro_f1": math.fsum(label["f1"] or 0.0 for label in by_label) / len(names),
        "calibration_error": error,
        "brier": max(0.0, squared),
        "labels": by_label,
        "calibration": bins,
    }
    if len(names) <= MOST_CONFUSED:
        found["confusion"] = confusion.tolist()
    return found


def _of_label(confusion: NDArray[numpy.int64], number: int, name: str) -> dict[str, Any]:
    hits, given, texts = int(confusion[number, number]), int(confusion[:, number].sum()), int(confusion[number].sum())
    precision = hits / given if given else None
    recall = hits / texts if texts else None
    f1 = 2 * hits / (given + texts) if given + texts else None
    return {"label": name, "precision": precision, "recall": recall, "f1": f1, "texts": texts}


def _calibration(confidence: Probabilities, right: NDArray[numpy.bool_]) -> tuple[list[dict[str, Any]], float]:
    """Bins of confidence that have texts, and the mean distance of confidence and accuracy over all texts."""
    bins: list[dict[str, Any]] = []
    error = 0.0
    number = numpy.minimum((confidence * BINS).astype(numpy.int64), BINS - 1)
    for place in range(BINS):
        inside = number == place
        count = int(inside.sum())
        if not count:
            continue
        said, was = float(confidence[inside].mean()), float(right[inside].mean())
        error += count / len(right) * abs(said - was)
        bins.append(
            {"from": place / BINS, "to": (place + 1) / BINS, "texts": count, "confidence": said, "accuracy": was}
        )
    return bins, error


def report(found: dict[str, Any]) -> list[str]:
    """The figures as lines for a terminal."""
    lines = [
        f"accuracy {found['accuracy']:.4f} on {found['texts']:,} texts, loss {found['loss']:.4f} nats a text,"
        f" macro F1 {found['macro_f1']:.4f}, calibration error {found['calibration_error']:.4f}"
    ]
    width = max(5, *(len(label["label"][:24]) for label in found["labels"]))
    lines.append(f"{'label':{width}}  precision  recall      F1   texts")
    for label in found["labels"]:
        numbers = "  ".join(
            f"{'—' if label[key] is None else format(label[key], '.4f'):>{size}}"
            for key, size in (("precision", 9), ("recall", 6), ("f1", 6))
        )
        lines.append(f"{label['label'][:24]:{width}}  {numbers}  {label['texts']:>6,}")
    if "confusion" in found and len(found["confusion"]) <= 8:
        lines.append("confusion (rows: what it is; columns: what was said)")
        cells = [[f"{count:,}" for count in row] for row in found["confusion"]]
        wide = max(len(cell) for row in cells for cell in row)
        for label, row in zip(found["labels"], cells, strict=True):
            lines.append(f"{label['label'][:24]:{width}}  " + "  ".join(f"{cell:>{wide}}" for cell in row))
    lines.append("confidence  texts  said  right")
    for one in found["calibration"]:
        lines.append(
            f"{one['from']:.1f}–{one['to']:.1f}  {one['texts']:>9,}  {one['confidence']:.2f}  {one['accuracy']:.2f}"
        )
    return lines
