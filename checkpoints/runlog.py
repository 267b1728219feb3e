"""``log.jsonl``: what happened in a run, an object a line."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from checkpoints.files import file_errors


class RunLog:
    """Appends events. :meth:`position` is the place of a save; opening at a place forgets what came after it."""

    def __init__(self, path: Path, position: int = 0, also: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        """``also`` is told of every event that is written."""
        self._also = also
        with file_errors(path, "written"):
            self._file: IO[bytes] = open(path, "r+b" if position and path.exists() else "wb")  # noqa: SIM115
            self._file.seek(0, os.SEEK_END)
            self._file.truncate(_whole_lines(path, min(position, self._file.tell())))
            self._file.seek(0, os.SEEK_END)
        self.path = path

    def write(self, event: str, **values: Any) -> dict[str, Any]:
        """Append one event; it is in the file when this returns."""
        record = {"event": event, **values}
        with file_errors(self.path, "written"):
            self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
            self._file.flush()
        if self._also is not None:
            self._also(record)
        return record

    def position(self) -> int:
        """The length so far, in bytes, safely on the disk."""
        with file_errors(self.path, "written"):
            os.fsync(self._file.fileno())
            return self._file.tell()

    def go_back(self, position: int) -> None:
        """Forget what came after a place."""
        with file_errors(self.path, "written"):
            self._file.truncate(position)
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file. What could not be written, of which :meth:`write` has told, is given up."""
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class NoLog(RunLog):
    """For a process that is not the first of its run: nothing is written."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self.path = Path(os.devnull)

    def write(self, event: str, **values: Any) -> dict[str, Any]:
        """The event, as the first process writes it."""
        return {"event": event, **values}

    def position(self) -> int:
        """Nothing is there."""
        return 0

    def go_back(self, position: int) -> None:
        """There is nothing to forget."""


def _whole_lines(path: Path, length: int) -> int:
    """The end of the last whole line within the first ``length`` bytes."""
    if length == 0:
        return 0
    with open(path, "rb") as file:
        return file.read(length).rfind(b"\n") + 1
