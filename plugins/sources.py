"""Where plugins come from: installed distributions (entry-point group ``celloquy``) and ``--plugin`` files."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError

GROUP = "celloquy"
VARIABLE = "CELLOQUY_LOAD_PLUGINS"


@dataclass(frozen=True)
class Source:
    """A plugin that is not loaded yet; ``load`` imports it and may raise anything."""

    name: str
    distribution: str
    distribution_version: str
    origin: str
    load: Callable[[], Any]
    builtin: bool = False


def _normal(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(environment: Mapping[str, str] = os.environ) -> tuple[str, ...] | None:
    """The plugins that ``CELLOQUY_LOAD_PLUGINS`` names; None means every installed one, () none."""
    value = environment.get(VARIABLE)
    if value is None:
        return None
    return tuple(part.strip() for part in value.split(",") if part.strip())


def installed(names: tuple[str, ...] | None) -> Iterator[Source]:
    """The installed plugins, in the order of their names; only those of ``names`` unless None.

    A name may be that of the distribution or of the entry point. One that is not installed fails when loaded, so that
    it is reported like every other fault.
    """
    if names == ():
        return
    missing = {_normal(name): name for name in names or ()}
    asked = frozenset(missing)
    for distribution, version, entry in sorted(_entries(), key=lambda found: (_normal(found[0]), found[2].name)):
        keys = {_normal(distribution), _normal(entry.name)}
        if names is not None and not keys & asked:
            continue
        for key in keys:
            missing.pop(key, None)
        yield Source(entry.name, distribution, version, entry.value, entry.load)
    for name in missing.values():
        yield Source(name, name, "", VARIABLE, _not_installed)


def _entries() -> Iterator[tuple[str, str, importlib.metadata.EntryPoint]]:
    """Every entry point of the group with its distribution's name and version; of two copies the first on the path.

    A distribution whose files are damaged is passed over: it concerns us only if it says that it does.
    """
    seen = set()
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(ImportError, LookupError, OSError, TypeError, ValueError):
            entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
            if not entries:
                continue
            name, version = distribution.name, distribution.version
            if _normal(name) in seen:
                continue
            seen.add(_normal(name))
            for entry in entries:
                yield name, version, entry


@functools.cache
def own_version() -> str:
    """The version of Celloquy; "" where it is run from a source tree that is not installed."""
    try:
        return importlib.metadata.version("celloquy")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _not_installed() -> Any:
    raise CelloquyError(f"{VARIABLE} names it, but no installed distribution offers it to Celloquy")


def file_source(path: str | Path) -> Source:
    """The plugin in one ``FILE.py``; its file name stands for the distribution."""
    path = Path(path)
    return Source(path.stem, path.name, "", str(path), lambda: _import_file(path))


def _import_file(path: Path) -> Any:
    """Import a file under a name of its own, so that it can shadow nothing."""
    if not path.is_file():
        raise CelloquyError(f"there is no file {path}")
    if path.suffix != ".py":
        raise CelloquyError(f"{path} is not a .py file")
    word = re.sub(r"\W", "_", path.stem)
    name = f"celloquy_plugin_{word}"
    while name in sys.modules:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    complete = False
    try:
        spec.loader.exec_module(module)
        complete = True
    finally:
        if not complete:
            del sys.modules[name]
    return module
