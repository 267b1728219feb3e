"""TensorBoard's event files, written without TensorBoard: ``train --tensorboard DIR``.

An event file is a sequence of records: the length (8 bytes, little-endian), its check sum, the data, its check sum;
the sums are CRC-32C (Castagnoli), rotated and shifted by a constant. The data is a protocol buffer ``Event``: wall_time
= 1, step = 2, file_version = 3, summary = 5 {value = 1 {tag = 1, simple_value = 2}}, session_log = 7 {status = 1}.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoints.files import file_errors, make_folder

_POLYNOMIAL = 0x82F63B78  # CRC-32C with its bits reversed
_STARTED = 1
_NO_SCALARS = ("event", "step", "tokens", "seconds")


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """One record of the file."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes: a text or another message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _float(value: float) -> bytes:
    """Four bytes; what is too large for them is infinite."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _event(step: int, rest: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + rest


class EventFile:
    """The scalars of one run, in a file of its own in ``folder``; :meth:`log` takes the records of ``log.jsonl``.

    Where a run goes back (it was resumed, or its loss exploded) TensorBoard is told to forget what came after.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}.celloquy"
        self._step: int | None = None
        self._append(_event(0, _field(3, b"brain.Event:2")))

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append the numbers of a record that belong to a step: ``train/loss``, ``eval/val_loss`` and so on."""
        step = entry.get("step")
        if not isinstance(step, int) or entry["event"] == "done":
            return
        scalars = {
            f"{entry['event']}/{name}": float(value)
            for name, value in entry.items()
            if name not in _NO_SCALARS and isinstance(value, int | float) and not isinstance(value, bool)
        }
        if not scalars:
            return
        if self._step is None or step < self._step:
            self._append(_event(step, _field(7, b"\x08" + _varint(_STARTED))))
        self._step = step
        values = (_field(1, _field(1, tag.encode("utf-8")) + b"\x15" + _float(value)) for tag, value in scalars.items())
        self._append(_event(step, _field(5, b"".join(values))))

    def _append(self, data: bytes) -> None:
        with file_errors(self.path, "written"), open(self.path, "ab") as file:
            file.write(record(data))
