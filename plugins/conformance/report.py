"""What the conformance kit found: one outcome a check. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cells.errors import CelloquyError

PASSED, FAILED, SKIPPED, MEASURED = "passed", "failed", "skipped", "measured"


class NotApplicable(Exception):
    """Raised by a check that does not concern this cell; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """The result of one check: ``status`` is passed, failed, skipped or measured."""

    check: str
    status: str
    message: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks of one cell. ``bool(report)`` and ``report.ok`` say whether the cell conforms."""

    cell: str
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The checks that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == FAILED)

    @property
    def ok(self) -> bool:
        """Whether at least one check ran and none failed."""
        return not self.failed and any(outcome.status == PASSED for outcome in self.outcomes)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        """A line a check, the cell's name above."""
        width = max((len(outcome.check) for outcome in self.outcomes), default=0)
        lines = [f"{o.check:<{width}}  {o.status:<8}  {o.message}".rstrip() for o in self.outcomes]
        return "\n".join([self.summary, *lines])

    __repr__ = __str__

    @property
    def summary(self) -> str:
        """One line: how many checks passed, and which failed."""
        ran = sum(outcome.status in (PASSED, FAILED) for outcome in self.outcomes)
        if self.failed:
            names = ", ".join(outcome.check for outcome in self.failed)
            return f"cell {self.cell}: {len(self.failed)} of {ran} checks failed: {names}"
        if not ran:
            return f"cell {self.cell}: no check applies"
        return f"cell {self.cell}: {f'all {ran} checks' if ran > 1 else '1 check'} passed"

    def raise_for_failures(self) -> None:
        """Raise a CelloquyError with the first failure's message unless the cell conforms."""
        for outcome in self.failed:
            raise CelloquyError(f"cell {self.cell} fails the check {outcome.check!r}: {outcome.message}")

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"cell": self.cell, "ok": self.ok, "checks": [asdict(outcome) for outcome in self.outcomes]}
