"""Whether a program grows: its memory at many looks, and how much more it holds late than early."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

ENOUGH = 12
"""Looks from which growth can be told from noise."""


def resident(pid: int) -> float:
    """Resident megabytes of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1024


def rise(looks: Sequence[float]) -> float:
    """What the median of the last quarter of the looks is above that of the second; the first quarter warms up.

    Half the time lies between the two: of an hour 30 minutes, so that a leak of 1 MB a minute gives 30 MB.
    """
    quarter = len(looks) // 4
    return statistics.median(looks[-quarter:]) - statistics.median(looks[quarter : 2 * quarter])
