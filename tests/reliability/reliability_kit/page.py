"""``docs/reliability.md``: its table from ledgers, and the promises that the tests' own source names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path

from reliability_kit.children import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
TESTS = ROOT / "tests" / "reliability"
HEAD = "| how it is attacked | what is promised | tried | survived |\n|---|---|---:|---:|\n"


def merged(ledgers: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Promise -> (tried, survived), over all these ledgers."""
    counts: dict[str, tuple[int, int]] = {}
    for path in ledgers:
        for promise, tried, survived in json.loads(path.read_text(encoding="utf-8")):
            before = counts.get(promise, (0, 0))
            counts[promise] = (before[0] + tried, before[1] + survived)
    return counts


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


def with_table(page: str, new: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + new + END + rest.partition(END)[2]


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
