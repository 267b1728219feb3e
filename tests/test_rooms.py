"""The plan of the house: imports point only downward, every package ships, and no file grows into a hall."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("celloquy", "repl", "checkpoints", "plugins", "cells")
"""From the top down: each may import those after it, and itself."""

FORBIDDEN = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal")
LONGEST = 450


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_only_downward(room: str) -> None:
    above = ROOMS[: ROOMS.index(room)]
    upward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == room
        for name in imported(path)
        if name in above
    ]
    assert upward == []


def test_nothing_unpickles() -> None:
    found = [f"{path.name}: {name}" for path in sources() for name in imported(path) if name in FORBIDDEN]
    assert found == []
    assert [path.name for path in sources() if "torch.load(" in path.read_text(encoding="utf-8")] == []


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in sources()}
    assert set(settings["packages"]) == on_disk


def test_every_file_that_is_no_python_is_installed_too() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    listed = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    names = {path.relative_to(ROOT).as_posix() for path in listed}
    assert names >= {f"{room}/py.typed" for room in ROOMS} | {"checkpoints/recipes/shakespeare.toml"}
    assert names >= {f"checkpoints/shipped/shakespeare.{cell}.safetensors" for cell in ("rnn", "lstm", "gru")}
    there = {
        path
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
    }
    assert there - listed == set()


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert long == {}


def test_the_cells_know_no_file_and_no_terminal() -> None:
    strangers = {"pathlib", "click", "rich", "prompt_toolkit", "pluggy", "safetensors", "json"}
    found = [
        f"{path.name}: {name}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == "cells"
        for name in imported(path)
        if name in strangers
    ]
    assert found == []
