"""One step of a cell, with whatever is wrong with it told in one line."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cells.bundle import GateBundle, named
from cells.cell import Cell
from cells.errors import CelloquyError
from cells.state import LayerState


def call_step(cell: Cell, x: GateBundle, state: LayerState, R: Any, p: Any) -> LayerState:
    """``cell.step``; CelloquyError tells of an exception, a missing state or a wrong shape."""
    new = guarded_step(cell, x, state, R, p)
    shape = next(iter(state.values())).shape
    for name, value in new.items():
        if not isinstance(value, Tensor) or value.shape != shape:
            got = str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
            raise CelloquyError(f"cell {cell.label}: state {name} must come back with shape {tuple(shape)}, not {got}")
    return new


def guarded_step(cell: Cell, x: GateBundle, state: dict[str, Any], R: Any, p: Any) -> dict[str, Any]:
    """``cell.step`` of states that need not be tensors; CelloquyError tells of an exception or a missing state."""
    try:
        new: dict[str, Any] = cell.step(x, named(state), R, p)
    except CelloquyError:
        raise
    except Exception as error:
        raise CelloquyError(f"cell {cell.label}: step raised {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(new, dict) or new.keys() != state.keys():
        found = ", ".join(map(str, new)) if isinstance(new, dict) else type(new).__name__
        raise CelloquyError(f"cell {cell.label}: step must return the states {', '.join(state)}; it returned {found}")
    return new


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [""])[0]
