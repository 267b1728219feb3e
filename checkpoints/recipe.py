"""Recipe files: training options in TOML, with a table of its own for a cell that needs other values.

name = "shakespeare"
epochs = 5

[cell.lstm]          # these tables name the cells to train, unless the command line does
hidden = 496
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError, UsageError
from checkpoints.files import file_errors
from checkpoints.options import BUDGETS, TRAIN_OPTIONS
from checkpoints.shown import plain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SHIPPED = Path(__file__).resolve().parent / "recipes"
PLACES = ("recipe", "resume")
"""Options that a recipe cannot hold: they say what to do with it."""


@dataclass(frozen=True)
class Recipe:
    """Option values by key: for every cell, and further ones by cell."""

    common: dict[str, Any] = field(default_factory=dict)
    by_cell: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe file, or one that ships by its name alone; UsageError, one line with the file's name, for anything
    in it that is wrong."""
    path = recipe_file(path)
    with file_errors(path, "read"):
        raw = path.read_bytes()
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise UsageError(f"{path} is not TOML: {plain(' '.join(str(error).split()))}") from error
    tables = data.get("cell")
    by_cell = {}
    if isinstance(tables, dict):
        del data["cell"]
        for cell, values in tables.items():
            if not isinstance(values, dict):
                raise UsageError(f"{path}: cell.{plain(cell, 60)} must be a table, [cell.{plain(cell, 60)}]")
            by_cell[cell] = _checked(values, path)
    return Recipe(_checked(data, path), by_cell)


def recipe_file(name: str | Path) -> Path:
    """The file that ``name`` means: a path, or the name of a recipe that ships, such as ``shakespeare``.

    Raises CelloquyError, with the names that ship, for a bare name that is neither.
    """
    path = Path(name)
    if path.exists() or path.suffix or path.name != str(name):
        return path
    shipped = SHIPPED / f"{path.name}.toml"
    if not shipped.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise CelloquyError(f"there is no recipe {plain(path.name, 60)!r}: name a file, or one that ships: {names}")
    return shipped


def _checked(values: dict[str, Any], path: Path) -> dict[str, Any]:
    checked = {}
    for name, value in values.items():
        try:
            option = TRAIN_OPTIONS[name]
            if option.key in PLACES:
                raise UsageError(f"{option.name} cannot stand in a recipe")
            if option.kind is str and type(value) is int and abs(value) < 1 << 63:
                value = str(value)  # threads = 2
            checked[option.key] = option.validate(value)
        except UsageError as error:
            raise UsageError(f"{path}: {plain(str(error))}") from error
    return checked


def overlay(*layers: dict[str, Any]) -> dict[str, Any]:
    """Option values, a later layer over an earlier one. A layer that says when to end displaces how others say it."""
    result: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(name) is not None for name in BUDGETS):
            result = {key: value for key, value in result.items() if key not in BUDGETS}
        result.update(layer)
    return result
