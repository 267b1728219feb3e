"""The table of tensors at the start of a safetensors file, read with bounds and without loading a tensor.

Layout (safetensors): 8 bytes little-endian length, then that many bytes of JSON, name -> dtype, shape, data_offsets
(relative to the end of the JSON), and text metadata under ``__metadata__``; then the data without holes.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.shown import shown
from checkpoints.strict_json import parse_json

LARGEST_HEADER = 8 << 20
"""A real header is below 100 KB, or 5 MB with a vocabulary of all of Unicode."""

MOST_DIMENSIONS = 8
LONGEST_NAME = 200

ITEM_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a file, by what the table says of it."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Table:
    """The parsed start of a file: tensors as the JSON has them, metadata, bytes of data, size of the file."""

    entries: dict[str, Any]
    metadata: dict[str, str]
    data_bytes: int
    size: int


def read_table(path: Path) -> Table:
    """Read the start of a safetensors file. CelloquyError if it is cut short or not such a file."""
    status = path.stat()
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
        raise CelloquyError(f"{path} is not a file")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise CelloquyError(f"{path} is not a checkpoint, or is damaged or cut short ({size} bytes)")
        text = file.read(length)
    try:
        entries = parse_json(text)
    except CelloquyError as error:
        raise CelloquyError(f"{path} is not a checkpoint, or is damaged: {error}") from error
    metadata = entries.pop("__metadata__", {}) if isinstance(entries, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CelloquyError(f"{path} is damaged: its table of tensors is not understood")
    return Table(entries, metadata, size - 8 - length, size)


def check_layout(table: Table) -> Mapping[str, TensorInfo]:
    """The tensors, each of a known dtype, in its place, together covering the data exactly."""
    tensors = {name: _tensor(name, entry) for name, entry in table.entries.items()}
    place = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.begin != place:
            raise CelloquyError(f"tensor {shown(name)} is not where the one before it ends")
        place = info.end
    if place != table.data_bytes:
        raise CelloquyError(f"its tensors take {place} bytes, but it holds {table.data_bytes}: it may be cut short")
    return tensors


def _tensor(name: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CelloquyError(f"the entry of tensor {shown(name)} is not understood")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise CelloquyError(f"tensor {shown(name)} has the unknown dtype {shown(dtype)}")
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise CelloquyError(f"a tensor has the impossible name {shown(name)}")
    if not _sizes(shape) or len(shape) > MOST_DIMENSIONS or not _sizes(offsets) or len(offsets) != 2:
        raise CelloquyError(f"tensor {shown(name)} has an impossible shape or place")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    if info.end - info.begin != info.count * ITEM_SIZES[dtype]:
        raise CelloquyError(f"tensor {shown(name)} takes {info.end - info.begin} bytes, which its shape does not")
    return info


def _sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48 for value in values
    )
