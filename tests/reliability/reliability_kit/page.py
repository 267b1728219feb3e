"""``docs/reliability.md``: its table from ledgers, and the promises that the tests' own source names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from reliability_kit.children import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
CURVE_BEGIN, CURVE_END = "<!-- curves: begin -->\n", "<!-- curves: end -->\n"
CURVE_HEAD = "| what is followed | looks | value (at minute) |\n|---|---:|---|\n"
MINUTES = (1, 5, 15, 30, 45)
TESTS = ROOT / "tests" / "reliability"
Curve = list[tuple[float, float]]
HEAD = "| how it is attacked | what is promised | tried | survived |\n|---|---|---:|---:|\n"


def merged(ledgers: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Promise -> (tried, survived), over all these ledgers."""
    counts: dict[str, tuple[int, int]] = {}
    for path in ledgers:
        for promise, tried, survived in json.loads(path.read_text(encoding="utf-8"))["counts"]:
            before = counts.get(promise, (0, 0))
            counts[promise] = (before[0] + tried, before[1] + survived)
    return counts


def curves(ledgers: Iterable[Path]) -> dict[str, Curve]:
    """What was followed longest of each figure: (minute, value)."""
    found: dict[str, Curve] = {}
    for path in ledgers:
        for name, points in json.loads(path.read_text(encoding="utf-8"))["curves"].items():
            if name not in found or points[-1][0] > found[name][-1][0]:
                found[name] = [(minute, value) for minute, value in points]
    return found


def curve_table(followed: Mapping[str, Curve]) -> str:
    """The figures at some minutes each, the look that was nearest, and at the last look."""
    rows = []
    for name in sorted(followed):
        points = followed[name]
        last, value = points[-1]
        told = [f"{_nearest(points, minute):.0f} ({minute})" for minute in MINUTES if minute < last - 1]
        told.append(f"{value:.0f} ({last:.0f})")
        rows.append(f"| {name} | {len(points)} | {', '.join(told)} |\n")
    return CURVE_HEAD + "".join(rows)


def _nearest(points: Curve, minute: float) -> float:
    return min(points, key=lambda point: abs(point[0] - minute))[1]


def table(counts: dict[str, tuple[int, int]]) -> str:
    """The table, in the order in which the tests' source names the promises."""
    order = [re.compile(pattern) for _, pattern in named_promises()]

    def place(promise: str) -> tuple[int, str]:
        found = [number for number, pattern in enumerate(order) if pattern.fullmatch(promise)]
        return (found[0] if found else len(order)), promise

    rows = []
    for promise in sorted(counts, key=place):
        attack, _, held = promise.rpartition(": ")
        tried, survived = counts[promise]
        rows.append(f"| {attack} | {held} | {tried:,} | {survived:,} |\n")
    return HEAD + "".join(rows)


def rows_of(page: str) -> list[tuple[str, int, int]]:
    """(promise, tried, survived) of each row of a page's table."""
    found = []
    for line in page.partition(BEGIN)[2].partition(END)[0].removeprefix(HEAD).splitlines():
        attack, held, tried, survived = (cell.strip() for cell in line.strip("|").split(" | "))
        found.append((f"{attack}: {held}", int(tried.replace(",", "")), int(survived.replace(",", ""))))
    return found


def with_table(page: str, new: str, followed: str | None = None) -> str:
    """The page with another table; with that of the followed figures too, if it is given."""
    page = _between(page, BEGIN, END, new)
    return page if followed is None else _between(page, CURVE_BEGIN, CURVE_END, followed)


def _between(page: str, begin: str, end: str, new: str) -> str:
    before, _, rest = page.partition(begin)
    return before + begin + new + end + rest.partition(end)[2]


def named_promises() -> list[tuple[str, str]]:
    """(file, pattern) of every promise that a test writes to the ledger, found in the source."""
    found: dict[str, str] = {}
    for path in [*sorted((TESTS / "reliability_kit").glob("*.py")), *sorted(TESTS.glob("test_*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "attempt":
                text = node.args[0]
                text = constants[text.id] if isinstance(text, ast.Name) else text
                found.setdefault(_pattern(text), path.name)
    return [(file, pattern) for pattern, file in found.items()]


def _pattern(text: ast.expr) -> str:
    """A constant text as itself, an f-string with anything in its holes."""
    if isinstance(text, ast.Constant):
        return re.escape(str(text.value))
    assert isinstance(text, ast.JoinedStr)
    parts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in text.values)
    return "".join(parts)
