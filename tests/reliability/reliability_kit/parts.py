"""A checkpoint file taken apart and put together wrongly: what the ways of damaging and forging it share."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from checkpoints.digest import CHECK_KEY, METADATA_KEY, check_sums

Random = random.Random


@dataclass(frozen=True)
class Original:
    """A checkpoint file taken apart: the table, what it says of itself, the tensors' bytes."""

    raw: bytes
    table: dict[str, Any]
    description: dict[str, Any]
    data: bytes

    @classmethod
    def of(cls, raw: bytes) -> Original:
        """Take a file apart."""
        length = int.from_bytes(raw[:8], "little")
        table = json.loads(raw[8 : 8 + length])
        description = json.loads(table.pop("__metadata__")[METADATA_KEY])
        return cls(raw, table, description, raw[8 + length :])

    @property
    def header_end(self) -> int:
        """Where the tensors' bytes begin."""
        return len(self.raw) - len(self.data)


@dataclass(frozen=True)
class Mutant:
    """A damaged or forged file. ``wrong``: it must be refused; else it may load, to the same model if ``damage``."""

    name: str
    raw: bytes
    wrong: bool = False
    damage: bool = True


def assemble(table: Any, description: Any, data: bytes, *, stamp: bool = True) -> bytes:
    """A file of these parts; ``description`` may be JSON text that no honest writer would write."""
    text = description if isinstance(description, str) else json.dumps(description)
    metadata = {METADATA_KEY: text}
    if stamp:
        metadata[CHECK_KEY] = check_sums(text, table, data)
    whole = json.dumps({"__metadata__": metadata, **table})
    return join(whole.encode("utf-8", "surrogatepass"), data)


def join(text: bytes, data: bytes, length: int | None = None) -> bytes:
    """Length, table and data; the length is the true one unless given."""
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data
