"""The conformance kit: every check, in order, and the functions that run them."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from plugins.conformance.affinity import affine_is_affine
from plugins.conformance.branches import no_data_dependent_branch
from plugins.conformance.form import declaration, dtype_and_device, shapes
from plugins.conformance.gradients import every_parameter_gets_a_gradient, finite_over_long_sequences, gradcheck
from plugins.conformance.kernel import kernel_equals_step
from plugins.conformance.learning import learns_to_copy, training_speed
from plugins.conformance.purity import purity
from plugins.conformance.report import FAILED, MEASURED, PASSED, SKIPPED, NotApplicable, Outcome, Report
from plugins.conformance.sequence import (
    causality,
    chunks_equal_whole,
    masked_rows_keep_their_state,
    rows_are_independent,
    sequence_equals_steps,
)
from plugins.conformance.storage import checkpoint_round_trip, saved_state_continues
from plugins.conformance.subject import KernelHook, Subject
from plugins.guard import Blame, Guard, one_line

CHECKS: dict[str, Callable[[Subject], str | None]] = {
    "declaration": declaration,
    "shapes": shapes,
    "dtype and device": dtype_and_device,
    "purity": purity,
    "no data-dependent branch": no_data_dependent_branch,
    "gradients": gradcheck,
    "every parameter used": every_parameter_gets_a_gradient,
    "sequence equals steps": sequence_equals_steps,
    "chunks equal whole": chunks_equal_whole,
    "batch rows independent": rows_are_independent,
    "causality": causality,
    "masked rows": masked_rows_keep_their_state,
    "affine": affine_is_affine,
    "finite at length 2000": finite_over_long_sequences,
    "saved state": saved_state_continues,
    "checkpoint": checkpoint_round_trip,
    "kernel equals step": kernel_equals_step,
    "learns to copy": learns_to_copy,
    "training speed": training_speed,
}

MEASUREMENTS = ("training speed",)
"""Reported, never failed: how fast is fast enough is for the author to say."""


def check_cell(
    cell: Cell | type[Cell], checks: Iterable[str] | None = None, kernel_hooks: Iterable[KernelHook] = ()
) -> Report:
    """Run the conformance checks on a cell, or on a class with its default options.

    ``checks`` names those to run, all by default; ``kernel_hooks`` are (owner, hook) pairs beside the kernels of
    the default registry. Raises CelloquyError for what is no cell or no check; a failing cell is in the report.
    """
    chosen = tuple(CHECKS) if checks is None else tuple(checks)
    for name in chosen:
        if name not in CHECKS:
            raise UsageError(f"there is no check {name!r}; there are: {', '.join(CHECKS)}")
    if not chosen:
        raise CelloquyError("no check was run; a cell is right only if something was checked")
    subject = _subject(cell, kernel_hooks)
    return Report(subject.cell.label, tuple(run_check(subject, name) for name in chosen))


def _subject(cell: Cell | type[Cell], kernel_hooks: Iterable[KernelHook]) -> Subject:
    if isinstance(cell, type) and issubclass(cell, Cell):
        with Blame(f"cell {cell.__name__}"):
            cell = cell()
    if not isinstance(cell, Cell):
        raise CelloquyError(f"{cell!r} is not a cell: give a subclass of Cell, or one made from it")
    return Subject(cell, tuple(kernel_hooks) or _registered_kernels())


def _registered_kernels() -> tuple[KernelHook, ...]:
    from plugins.registry import default_registry

    return tuple(default_registry().kernel_hooks())


def run_check(subject: Subject, name: str) -> Outcome:
    """One check's outcome; whatever it or the cell raises is a failure with one line."""
    start = time.perf_counter()
    found: list[tuple[str, str]] = []

    def outcome(error: BaseException) -> None:
        found.append((SKIPPED, str(error)) if isinstance(error, NotApplicable) else (FAILED, one_line(error)))

    with Guard(outcome), torch.random.fork_rng(devices=[]), _one_thread():
        _require(subject, name)
        message = CHECKS[name](subject) or ""
        found.append((MEASURED if name in MEASUREMENTS else PASSED, message))
    status, message = found[0]
    return Outcome(name, status, message, time.perf_counter() - start)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread. The cases of the checks are small: several threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _require(subject: Subject, name: str) -> None:
    """What must hold before a check makes sense; the check that concerns itself with it reports it."""
    if name == "declaration":
        return
    try:
        declaration(subject)
    except CelloquyError:
        raise NotApplicable("the declaration is wrong") from None
    if name != "shapes" and subject.trouble:
        raise NotApplicable("the step does not run (see shapes)")


@dataclass(frozen=True)
class CheckCase:
    """One check of one cell, for a test to call; ``str()`` is its name."""

    name: str
    cell: Any

    def __call__(self) -> None:
        """Raise an AssertionError with the check's message if it fails."""
        outcome = run_check(_shared_subject(self.cell), self.name)
        if outcome.status == FAILED:
            raise AssertionError(outcome.message)

    def __str__(self) -> str:
        return self.name


@functools.lru_cache(maxsize=8)
def _shared_subject(cell: Any) -> Subject:
    return _subject(cell, ())


def conformance_checks(cell: Cell | type[Cell]) -> list[CheckCase]:
    """One case a check, for ``@pytest.mark.parametrize("check", conformance_checks(MyCell), ids=str)``."""
    return [CheckCase(name, cell) for name in CHECKS if name not in MEASUREMENTS]
