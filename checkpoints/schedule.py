"""The learning rate over a run, and how far the run is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """When a run ends: after ``steps`` or after ``seconds``; exactly one is given."""

    steps: int | None = None
    seconds: float | None = None

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the run is over, 0 to 1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        return min(1.0, seconds / self.seconds)


@dataclass(frozen=True)
class Schedule:
    """The learning rate: ``cosine`` falls to 0 over the run (Loshchilov and Hutter 2017, without restarts),
    ``constant`` stays, ``plateau`` stays until validation no longer improves, then halves (see the trainer).

    In the first ``warmup`` steps it rises linearly.
    """

    kind: str
    peak: float
    warmup: int = 0

    def rate(self, step: int, fraction: float, scale: float = 1.0) -> float:
        """The learning rate of step ``step`` (from 0) at ``fraction`` of the run; ``scale`` is the plateau's."""
        rate = self.peak * scale
        if self.kind == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        if step < self.warmup:
            rate *= (step + 1) / self.warmup
        return rate
