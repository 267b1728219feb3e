"""The packages behind the front door have plain names, so something else might be found under them: see to it.

Two things can stand in the way. A folder without ``__init__.py``, like the ``./checkpoints`` that training writes to,
is a namespace package to Python, and hides an installed package in some installations; ours is then imported from its
own place. A real module or package of that name cannot be shared with: that is an error that names it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

ROOMS = ("cells", "plugins", "checkpoints", "repl")
HOUSE = Path(__file__).resolve().parent.parent


def claim_rooms() -> None:
    """Raise ImportError, in one line, if another module is found under one of the names.

    The program itself tells it by :func:`complaint` instead, without a traceback.
    """
    problem = complaint()
    if problem and not _is_the_program():
        raise ImportError(problem)


def complaint() -> str:
    """What hides a package of Celloquy, and what to do; empty if nothing does."""
    for room in ROOMS:
        spec = _find(room)
        if spec is None:
            return f"{HOUSE / room} is missing: install Celloquy again"
        if spec.origin is None:
            _import_own(room)
        elif not _same(Path(spec.origin), HOUSE / room / "__init__.py"):
            return (
                f"{spec.origin} hides Celloquy's own package {room!r}: "
                "rename it, or start from another folder so that it is not found first"
            )
    return ""


def _find(room: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(room)
    except ValueError:  # somebody put a module without a spec there
        return ModuleSpec(room, None, origin=f"a module in sys.modules named {room!r}")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _import_own(room: str) -> None:
    """Import the package from beside this one, past a folder that only has its name."""
    folder = HOUSE / room
    spec = importlib.util.spec_from_file_location(
        room, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is missing: install Celloquy again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[room] = module
    spec.loader.exec_module(module)


def _is_the_program() -> bool:
    """Whether this import is the command ``celloquy`` or ``python -m celloquy`` starting."""
    started = os.path.basename(sys.argv[0]) if sys.argv else ""
    return started == "-m" or started.removesuffix(".exe") == "celloquy"
