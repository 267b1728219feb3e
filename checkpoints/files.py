"""Writing files so that a reader sees the old one or the new one, never half of one; safetensors in and out."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cells.errors import CelloquyError
from checkpoints.digest import CHECK_KEY, METADATA_KEY, check_sums, check_tensors
from checkpoints.shown import plain
from checkpoints.tensor_table import read_table

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def file_errors(path: Path, verb: str) -> Iterator[None]:
    """Turns an operating system's refusal into one line that names the file."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CelloquyError(f"{path} could not be {verb}: {reason}") from error


def write_atomic(path: Path, *parts: bytes | memoryview) -> None:
    """Write a whole file, of these parts: to a temporary one beside it, onto the disk, then into place.

    Raises CelloquyError, and leaves what was there, if the disk or the folder refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with file_errors(path, "written"):
        try:
            with open(temporary, "xb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where folders can be opened (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return  # some network file systems cannot; the file itself is safe
    finally:
        os.close(descriptor)


def keep_as(path: Path, other: Path) -> bool:
    """Let ``other`` be what ``path`` is now, whatever becomes of ``path``; whether the file system can.

    Costs no room until ``path`` is replaced. Interrupted anywhere, ``other`` is the old one or the new one.
    """
    temporary = other.with_name(f".{other.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(path, temporary)
        os.replace(temporary, other)
        temporary.unlink(missing_ok=True)  # renaming leaves it where both are the same file already
    except OSError:
        return False
    return True


def remove_leftovers(path: Path, whatever: bool = False) -> None:
    """Remove the temporary files that a killed process left beside ``path``: those of ``path``, or ``whatever``'s."""
    start = "." if whatever else f".{path.name}."
    with file_errors(path.parent, "cleared of temporary files"):
        for found in path.parent.iterdir():
            if found.name.startswith(start) and found.name.endswith(".tmp"):
                found.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder and those above it if they are missing."""
    with file_errors(path, "made"):
        path.mkdir(parents=True, exist_ok=True)


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], header: str) -> None:
    """Write tensors and a JSON text as one safetensors file, atomically.

    Its check sums stand beside the JSON. Equal contents give equal bytes.
    """
    from safetensors.torch import save

    raw = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    end = 8 + int.from_bytes(raw[:8], "little")
    table, data = json.loads(raw[8:end]), memoryview(raw)[end:]
    metadata = {METADATA_KEY: header, CHECK_KEY: check_sums(header, table, data)}
    text = json.dumps({"__metadata__": metadata, **table}, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8, for those who map the file into memory
    write_atomic(path, len(text).to_bytes(8, "little"), text, data)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; CelloquyError if it is damaged or not there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with file_errors(path, "read"):
        try:
            check_tensors(path, read_table(path))
            return load_file(path)
        except SafetensorError as error:
            raise CelloquyError(f"{path} is damaged: {plain(str(error))}") from error
