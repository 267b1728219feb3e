"""The check sums of a file: so that a flipped bit anywhere is an error, and not a slightly different model.

The metadata entry ``check`` holds two SHA-256 in hexadecimal: that of all bytes after the table, and that of the rest
(the description, the table of tensors, and the first sum). They find damage; they are no signature, because who makes
a file can make its sums. A file without them is read as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.shown import shown
from checkpoints.tensor_table import Table

METADATA_KEY = "celloquy"
CHECK_KEY = "check"
CHUNK = 1 << 20


def check_sums(description: str, table: Mapping[str, Any], data: bytes | memoryview) -> str:
    """The entry for a file with this description, this table of tensors and these bytes after it."""
    tensors = hashlib.sha256(data).hexdigest()
    return f"{tensors} {_header_sum(description, table, tensors)}"


def description(table: Table) -> str:
    """The description in a file, JSON. CelloquyError if there is none, or if it or the table is not as written."""
    if METADATA_KEY not in table.metadata:
        raise CelloquyError("it has no description")
    strange = sorted(table.metadata.keys() - {METADATA_KEY, CHECK_KEY})
    if strange:
        raise CelloquyError(f"its metadata has the unknown entry {shown(strange[0])}")
    text = table.metadata[METADATA_KEY]
    sums = table.metadata.get(CHECK_KEY)
    if sums is not None:
        _check_description(text, table.entries, sums)
    return text


def _check_description(description: str, table: Mapping[str, Any], sums: str) -> None:
    tensors, _, header = sums.partition(" ")
    if header != _header_sum(description, table, tensors):
        raise CelloquyError("its header is not as it was written, the check sum differs")


def check_tensors(path: Path, table: Table) -> None:
    """CelloquyError if the bytes after the table are not as they were written."""
    sums = table.metadata.get(CHECK_KEY)
    if sums is None:
        return
    found = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(table.size - table.data_bytes)
        while chunk := file.read(CHUNK):
            found.update(chunk)
    if found.hexdigest() != sums.partition(" ")[0]:
        raise CelloquyError(f"{path} is damaged: its weights are not as they were written, the check sum differs")


def _header_sum(description: str, table: Mapping[str, Any], tensors: str) -> str:
    text = json.dumps([description, table, tensors], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
