"""Accuracy, precision, recall, confusion and calibration, by hand and by definition."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints.labels.figures import figures, report

NAMES = ("a", "b", "c")
GIVEN = numpy.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.35, 0.4, 0.25], [0.05, 0.95, 0.0]])
TRUE = (0, 1, 1, 0, 1)


def test_the_figures_are_those_worked_out_by_hand() -> None:
    found = figures(GIVEN, TRUE, NAMES)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["loss"] == pytest.approx(-numpy.log([0.7, 0.8, 0.3, 0.35, 0.95]).mean())
    assert found["confusion"] == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    a, b, c = found["labels"]
    assert (a["precision"], a["recall"], a["texts"]) == (0.5, 0.5, 2)
    assert (b["precision"], b["recall"], b["texts"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert (c["precision"], c["recall"], c["f1"]) == (None, None, None)
    # bins: 0.4 (wrong), 0.5 (wrong), 0.7, 0.8, 0.95 (right)
    assert found["calibration_error"] == pytest.approx((0.4 + 0.5 + 0.3 + 0.2 + 0.05) / 5)
    assert [one["texts"] for one in found["calibration"]] == [1, 1, 1, 1, 1]
    wanted = numpy.eye(3)[list(TRUE)]
    assert found["brier"] == pytest.approx(numpy.square(GIVEN - wanted).sum(1).mean())


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(0, 1)), min_size=1, max_size=50))
def test_confusion_and_recall_agree_with_accuracy(rows: list[tuple[float, int]]) -> None:
    given_rows = numpy.array([[1 - share, share] for share, _ in rows])
    found = figures(given_rows, [label for _, label in rows], ("no", "yes"))
    matrix = numpy.array(found["confusion"])
    assert matrix.sum() == len(rows)
    assert numpy.trace(matrix) / len(rows) == pytest.approx(found["accuracy"])
    assert 0 <= found["calibration_error"] <= 1


def test_perfect_confidence_is_perfectly_calibrated() -> None:
    found = figures(numpy.eye(3)[[0, 1, 2]], [0, 1, 2], NAMES)
    assert (found["accuracy"], found["calibration_error"], found["brier"]) == (1.0, 0.0, 0.0)


def test_the_report_names_every_label_and_is_lines() -> None:
    lines = report(figures(GIVEN, TRUE, NAMES))
    assert lines[0].startswith("accuracy 0.6000 on 5 texts")
    assert [line.split()[0] for line in lines[2:5]] == list(NAMES)


def test_no_text_is_no_judgement() -> None:
    with pytest.raises(CelloquyError, match="no labelled text"):
        figures(numpy.zeros((0, 2)), [], ("no", "yes"))
