"""What ``celloquy plugins check NAME_OR_FILE`` checks: the cells behind a name or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from plugins.registry import Registry
from plugins.sources import file_source

if TYPE_CHECKING:
    from plugins.conformance.report import Report


def cells_of(registry: Registry, name: str) -> list[str]:
    """The cells behind a cell's name, a plugin's or distribution's name, or a plugin file, which is loaded now.

    Raises CelloquyError for a name that nothing has, for a file that fails to load, and where there is no cell.
    """
    if name in registry.cells:
        return [name]
    if name.endswith(".py") or "/" in name or "\\" in name:
        return _cells_of_file(registry, Path(name))
    plugins = [info for info in registry.plugins if name in (info.name, info.distribution)]
    for failure in registry.failures:
        if name in (failure.plugin, failure.distribution.split(" ")[0]):
            raise CelloquyError(str(failure))
    cells = [cell for info in plugins for cell in info.cells]
    if plugins and not cells:
        raise CelloquyError(f"plugin {name} registers no cell, so there is nothing to check")
    if not cells:
        known = ", ".join(registry.cells)
        raise CelloquyError(f"there is no cell, plugin or file {name!r}; there are the cells {known}")
    return cells


def _cells_of_file(registry: Registry, path: Path) -> list[str]:
    """Load the file unless ``--plugin`` has; its failures are this command's own."""
    known = [info for info in registry.plugins if not info.builtin and _same(info.source, path)]
    before = len(registry.failures)
    if not known:
        registry.add(file_source(path))
        known = [info for info in registry.plugins if _same(info.source, path)]
    for failure in registry.failures[before:]:
        raise CelloquyError(str(failure))
    cells = [cell for info in known for cell in info.cells]
    if not cells:
        raise CelloquyError(f"{path} registers no cell, so there is nothing to check")
    return cells


def _same(source: str, path: Path) -> bool:
    return source.endswith(".py") and Path(source).absolute() == path.absolute()


def check_registered(
    registry: Registry, name: str, options: Mapping[str, Any] | None = None, checks: Iterable[str] | None = None
) -> Report:
    """The conformance report of a registered cell with the given options and the registry's kernels."""
    from plugins.conformance.kit import check_cell

    cell = registry.create_cell(name, options, fenced=False)
    return check_cell(cell, checks, kernel_hooks=registry.kernel_hooks())
