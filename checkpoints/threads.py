"""The number of threads during a run: known or measured at its start, measured again if the machine seems changed."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from checkpoints.device import choose_threads

DROP = 0.5
"""Measure again when the speed falls below this share of the best since the last measurement."""

AT_LEAST = 15.0
"""Seconds between two measurements, so that a machine that is merely slow is not measured all the time."""

AT_MOST = 300.0
"""Seconds after which it is measured in any case: cores may have become free."""


class ThreadWatch:
    """Keeps the number of threads that ``--threads`` asks for. Under ``auto`` it follows the machine.

    Two threads on two cores are fine until something else runs; then they wait for each other at every small product,
    and training becomes ten times slower. :meth:`observe` notices.
    """

    def __init__(self, text: str, device: torch.device, trial: Callable[[], None], begin: str = "") -> None:
        self._auto = text == "auto" and device.type == "cpu"
        self._measure: Callable[[str], int] = lambda wish: choose_threads(wish, device, trial)
        self.threads = 1
        self._set(begin or text)

    def _set(self, wish: str) -> None:
        self.threads = self._measure(wish)
        torch.set_num_threads(self.threads)
        self._best = 0.0
        self._measured = time.monotonic()

    def hold(self, threads: int) -> None:
        """Keep this number from now on: the one that all processes of a run have agreed on."""
        self._auto = False
        self.threads = threads
        torch.set_num_threads(threads)

    def observe(self, speed: float) -> None:
        """Told of the present speed in tokens a second; measures again if that is called for."""
        if not self._auto:
            return
        age = time.monotonic() - self._measured
        self._best = max(self._best, speed)
        if age > AT_MOST or (age > AT_LEAST and self.threads > 1 and speed < DROP * self._best):
            self._set("auto")
