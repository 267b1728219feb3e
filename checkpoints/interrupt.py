"""Ctrl-C, SIGTERM and a closed terminal during training: the first asks for a tidy end, the second leaves at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from cells.errors import CelloquyError

WATCHED = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
"""SIGHUP comes when a terminal closes, a lost connection's too; where it is ignored (nohup), it stays so."""


class Interrupted(CelloquyError):
    """Training was stopped by a signal, after saving. ``exit_status`` is 130 for Ctrl-C, 143 for SIGTERM, 129 for
    SIGHUP."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


class SignalWatch:
    """While entered, remembers the first of :data:`WATCHED` in :attr:`received`; the next one acts as usual.

    What comes within ``grace`` seconds of the first is the same wish: Ctrl-C reaches the processes of torchrun twice,
    from the terminal and from torchrun. Outside the main thread Python cannot watch signals; then nothing is ever
    received.
    """

    def __init__(self, grace: float = 0.0) -> None:
        self.received: int | None = None
        self._grace = grace
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            watched = [*WATCHED[:2], *(n for n in WATCHED[2:] if signal.getsignal(n) is not signal.SIG_IGN)]
            self._before = {number: signal.signal(number, self._remember) for number in watched}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._since = number, time.monotonic()
            if not self._grace:
                self._restore()
        elif time.monotonic() - self._since > self._grace:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
