"""One run at a time under one name: a lock in the run's folder, which says who holds it."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from cells.errors import CelloquyError
from checkpoints.files import file_errors, make_folder, remove_leftovers
from checkpoints.shown import plain
from checkpoints.strict_json import parse_json

FILE = "lock"


class RunLock:
    """While entered, no other process can enter the same folder; it is made if it is not there.

    The operating system holds the lock, and lets go of it when the process ends in whatever way: what a killed run
    left is simply taken over, with its half-written files removed. Entering raises CelloquyError, naming process,
    machine and time, while another run holds it. A file system that knows no locks gives no protection.
    """

    def __init__(self, folder: Path, name: str, checkpoint: Path) -> None:
        self.folder = folder
        self.name = name
        self.checkpoint = checkpoint
        self._file: IO[bytes] | None = None
        self._parent_was_there = folder.parent.exists()

    def __enter__(self) -> RunLock:
        make_folder(self.folder)
        path = self.folder / FILE
        with file_errors(path, "written"):
            while self._file is None:
                file = open(path, "a+b")
                try:
                    if not _lock(file):
                        raise CelloquyError(f"{self.name} is being trained already{_holder(file)}")
                    if _still_there(file, path):  # else the one who held it has just removed it
                        self._file = file
                finally:
                    if self._file is None:
                        file.close()
            self._file.truncate(0)
            self._file.write(_description())
            self._file.flush()
            remove_leftovers(self.checkpoint)
            remove_leftovers(self.folder / "any", whatever=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            (self.folder / FILE).unlink()
        if self._file is not None:
            self._file.close()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # fails, as it should, if there is anything in it
            if not self._parent_was_there:
                self.folder.parent.rmdir()


def _description() -> bytes:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "since": now}).encode()


def _holder(file: IO[bytes]) -> str:
    """Who holds the lock, as that process wrote it."""
    try:
        file.seek(0)
        told = parse_json(file.read(1000))
        who = plain(f"process {told['process']} on {told['machine']}, since {told['since']}", 200)
    except (OSError, CelloquyError, TypeError, KeyError):
        return " by another process"
    return f" by {who}; wait for it, stop it, or take another --name"


def _still_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    _PLACE = 1 << 30
    """The byte that is locked; it need not exist, and the description stays readable."""

    def _lock(file: IO[bytes]) -> bool:
        file.seek(_PLACE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        """Take the lock if it is free."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # this file system has no locks
        return True
