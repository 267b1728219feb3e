"""Freed memory: kept by what trains, for fresh pages cost a step more than its work; given back by what rests."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt(3)."""


LONGEST_KEPT = 1 << 23
"""Steps times rows times units up to which freed memory is kept: 256 steps of 64 rows with 512 units."""


def worth_keeping(length: int, batch: int, hidden: int) -> bool:
    """Whether steps of training of this size keep freed memory: longer sequences need it for themselves.

    Blocks that are reused leave holes, up to half of what 1024 steps need at once; without, such steps take 1.3 to 1.6
    times as long (``tests/benchmarks/training_memory.py``), and are still two to four times as fast as torch.nn's.
    """
    return length * batch * hidden <= LONGEST_KEPT


@functools.cache
def keep_freed_memory() -> bool:
    """Ask the C library to reuse large freed blocks instead of returning them to the system; whether it agreed.

    By default glibc maps every block above 32 MB anew and unmaps it when freed, so each step of training pays a page
    fault for every 4 KB of activations. Kept, they made LSTM steps 1.3 to 1.4 times as fast on the machines measured
    (``tests/benchmarks/training.py``). For processes that train; other C libraries are left alone.
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> bool:
    """Return the pages that hold nothing any more to the system; whether there were any.

    Texts of ever other lengths, read and dropped in several threads, leave holes between what stays, and glibc looks
    for none but at the end of its heaps: the longer a program is used the more it holds, though it keeps no more. It
    takes a millisecond, a tenth of that where little was freed. Other C libraries are left alone.
    """
    trim = _glibc("malloc_trim")
    return trim is not None and bool(trim(0))


@functools.cache
def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc that takes and returns integers; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    return found
