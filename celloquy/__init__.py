"""Celloquy: a terminal in which recurrent networks speak, and the same for programs.

    import celloquy
    writer = celloquy.load("shakespeare", cell="gru")
    for piece in writer.stream("ROMEO:", temperature=0.8, seed=1):
        print(piece, end="", flush=True)

Names are imported when they are used, so ``from celloquy import Cell, hookimpl`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from celloquy._rooms import claim_rooms

if TYPE_CHECKING:
    from celloquy._calls import load, load_classifier
    from cells.cell import Cell
    from cells.errors import CelloquyError, UsageError
    from checkpoints.labels.classifier import Classifier
    from checkpoints.train import train
    from plugins.conformance import check_cell, conformance_checks
    from plugins.hookspecs import hookimpl
    from plugins.options import Option
    from plugins.sampler import Sampler, Stream
    from repl.generator import Snapshot, Writer
    from repl.piece import Piece
    from repl.scoring import Score

    __version__: str

__all__ = [
    "Cell",
    "CelloquyError",
    "Classifier",
    "Option",
    "Piece",
    "Sampler",
    "Score",
    "Snapshot",
    "Stream",
    "UsageError",
    "Writer",
    "__version__",
    "check_cell",
    "conformance_checks",
    "hookimpl",
    "load",
    "load_classifier",
    "train",
]

_HOMES = {
    "Cell": "cells.cell",
    "CelloquyError": "cells.errors",
    "Classifier": "checkpoints.labels.classifier",
    "Option": "plugins.options",
    "Piece": "repl.piece",
    "Sampler": "plugins.sampler",
    "Score": "repl.scoring",
    "Snapshot": "repl.generator",
    "Stream": "plugins.sampler",
    "UsageError": "cells.errors",
    "Writer": "repl.generator",
    "check_cell": "plugins.conformance",
    "conformance_checks": "plugins.conformance",
    "hookimpl": "plugins.hookspecs",
    "load": "celloquy._calls",
    "load_classifier": "celloquy._calls",
    "train": "checkpoints.train",
}

claim_rooms()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("celloquy")
    except PackageNotFoundError:  # used from a source tree that is not installed
        return "0+unknown"
