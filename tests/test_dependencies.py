"""Every dependency has a range and a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r'^    "(?P<name>[\w.-]+)(?:\[[\w,]+\])?(?P<range>[^";]*)(?:;[^"]*)?",(?: *# (?P<reason>.+))?$')


def entries() -> dict[str, list[re.Match[str]]]:
    """The lines of each list of dependencies in pyproject.toml, by its key."""
    found: dict[str, list[re.Match[str]]] = {}
    section, key = "", None
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section, key = line.strip("[]"), None
        elif line.endswith("= [") and (line == "dependencies = [" or section == "project.optional-dependencies"):
            key = line.partition(" ")[0]
        elif line == "]":
            key = None
        elif key is not None:
            match = ENTRY.match(line)
            assert match, f"a dependency stands on a line of its own: {line}"
            found.setdefault(key, []).append(match)
    return found


def test_the_lists_are_found() -> None:
    found = entries()
    assert {"dependencies", "test"} <= found.keys()
    assert {"torch", "safetensors", "click"} <= {entry["name"] for entry in found["dependencies"]}


@pytest.mark.parametrize("entry", [e for group in entries().values() for e in group], ids=lambda entry: entry["name"])
def test_every_dependency_has_a_lower_bound_and_a_reason(entry: re.Match[str]) -> None:
    assert re.search(r">=\d", entry["range"]), "a lower bound"
    reasons = [other["reason"] for group in entries().values() for other in group if other["name"] == entry["name"]]
    assert any(reason and len(reason) > 8 for reason in reasons), "a reason in a comment"


@pytest.mark.parametrize(
    "entry",
    [entry for key, group in entries().items() if key != "test" for entry in group],
    ids=lambda entry: entry["name"],
)
def test_what_runs_with_the_program_has_an_upper_bound_too(entry: re.Match[str]) -> None:
    assert re.search(r"<\d", entry["range"]), "an upper bound: the next major version may be another library"
