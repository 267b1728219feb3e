"""The cell under test, and the cases on which the checks try it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cells.bundle import GateBundle, named
from cells.cell import Cell, gate_names
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.state import LayerState
from plugins.guard import Guard, one_line
from plugins.kernels import Case, random_case

LENGTH, BATCH, INPUT, HIDDEN = 8, 3, 4, 5
"""The ordinary sizes T, B, I, H. None is 1, so that a cell which only fails at 1 fails only where 1 is tried."""

KernelHook = tuple[str, Callable[..., Any]]


@dataclass(frozen=True)
class StepArguments:
    """What ``step`` is called with, and the tensors behind it."""

    x: GateBundle
    s: LayerState
    R: Any
    p: Any
    tensors: dict[str, Tensor]

    def call(self, cell: Cell) -> dict[str, Tensor]:
        """One call of the cell's step."""
        return cell.step(self.x, named(self.s), self.R, self.p)


class Subject:
    """A cell to be checked, with the kernels that plugins offer for it."""

    def __init__(self, cell: Cell, kernel_hooks: tuple[KernelHook, ...] = ()) -> None:
        self.cell = cell
        self.kernel_hooks = kernel_hooks

    @functools.cached_property
    def trouble(self) -> str:
        """Why the cell does not even run over an ordinary sequence; "" if it does."""
        found: list[str] = []
        with Guard(lambda error: found.append(one_line(error))):
            self.run(self.case())
        return found[0] if found else ""

    def case(
        self, length: int = LENGTH, batch: int = BATCH, inputs: int = INPUT, hidden: int = HIDDEN, scale: float = 1.0
    ) -> Case:
        """A layer in float64 with random parameters, an input [T, B, I] and a state that is not the initial one."""
        return random_case(self.cell, length, batch, inputs, hidden, scale)

    def run(self, case: Case, x: Tensor | None = None, state: LayerState | None = None) -> tuple[Tensor, LayerState]:
        """The outputs and final state of the case's layer, from its own input and state unless others are given."""
        y, final = case.layer(case.x if x is None else x, case.state if state is None else state)
        return y, final

    def steps(self, case: Case) -> tuple[Tensor, LayerState]:
        """The same, by calls of ``step`` alone, without the engine's products and scans."""
        outputs = []
        state = case.state
        for row in case.x:
            state = self.arguments(case, row, state).call(self.cell)
            outputs.append(next(iter(state.values())))
        return torch.stack(outputs), state

    def arguments(self, case: Case, row: Tensor | None = None, state: LayerState | None = None) -> StepArguments:
        """The arguments of one step for an input row [B, I]; by default the first of the case."""
        layer = case.layer
        row = case.x[0] if row is None else row
        packed = layer.project(row).view(-1, len(layer.gates), layer.hidden_size)
        state = case.state if state is None else state
        p = dict(layer.p)
        tensors = {"x": packed, **{f"s.{k}": v for k, v in state.items()}, **{f"p.{k}": v for k, v in p.items()}}
        R = {name: _plain_product(layer, name) for name in self.cell.recurrent}
        return StepArguments(GateBundle(packed, layer.gates), state, named(R), named(p), tensors)


def _plain_product(layer: Layer, name: str) -> Callable[[Tensor], GateBundle]:
    names = gate_names(layer.cell.recurrent[name])
    weight = layer.R[name]
    return lambda v: GateBundle((v @ weight.t()).view(*v.shape[:-1], len(names), -1), names)


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to 1 + the largest expected entry; infinite if only one of two is NaN."""
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (found.isnan() & expected.isnan())
    gap = torch.where(same, 0.0, (found - expected).abs())
    scale = 1 + expected[expected.isfinite()].abs().max().item() if bool(expected.isfinite().any()) else 1.0
    worst = gap.max().item() / scale
    return worst if worst == worst else float("inf")


def require_equal(
    found: tuple[Tensor, LayerState], expected: tuple[Tensor, LayerState], what: str, tolerance: float = 1e-9
) -> None:
    """Fail unless outputs and every state agree; ``what`` begins the message."""
    pairs = {"the outputs": (found[0], expected[0])}
    for name, value in expected[1].items():
        pairs[f"state {name}"] = (found[1][name], value)
    for name, (one, other) in pairs.items():
        error = difference(one, other)
        if error > tolerance:
            raise CelloquyError(f"{what}: {name} differ by {error:.1e}".replace("state", "final state"))
