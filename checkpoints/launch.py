"""Whether torchrun started this process, and as which one of how many. No torch here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from cells.errors import CelloquyError

exchanged = False
"""Whether this process has exchanged anything with others: ``checkpoints.parallel`` says so here."""


def asked_for() -> int:
    """The number of processes that torchrun started for this run; 1 where it did not start this one."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isascii() and count.isdigit() and "RANK" in os.environ else 1


def here() -> int:
    """How many of them run on this machine."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return min(asked_for(), max(1, int(local))) if local.isascii() and local.isdigit() else 1


def is_follower() -> bool:
    """Whether this is one of several processes, and not the first, which writes and speaks."""
    return asked_for() > 1 and os.environ.get("RANK") != "0"


@contextlib.contextmanager
def spoken_once() -> Iterator[None]:
    """While entered, an error that every process meets alike is told by the first one only."""
    try:
        yield
    except CelloquyError as error:
        if is_follower():
            error.untold = True  # type: ignore[attr-defined]
        raise


def prefix() -> list[str]:
    """The words of a command line before ``train``: how this process was started."""
    count = asked_for()
    if count == 1:
        return ["celloquy"]
    return ["torchrun", "--nproc-per-node", os.environ.get("LOCAL_WORLD_SIZE", str(count)), "--module", "celloquy"]
