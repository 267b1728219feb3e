"""Limits on the time and memory that a call may take."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 1.0
MEGABYTES = 200.0

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


@contextlib.contextmanager
def bounded(seconds: float = SECONDS, megabytes: float = MEGABYTES) -> Iterator[None]:
    """The block may take so much processor time, and so much memory at its peak beyond what there was before.

    Memory is measured on Linux only.
    """
    measured = RESET.exists()
    if measured:
        RESET.write_text("5", encoding="ascii")  # the peak begins anew (proc(5))
        before = _peak()
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds, f"it took {took:.1f} s"
    if measured:
        more = _peak() - before
        assert more < megabytes, f"it took {more:.0f} MB"


def _peak() -> float:
    """The highest resident memory since the last reset, in megabytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024
