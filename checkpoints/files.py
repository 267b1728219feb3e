"""Writing files so that a reader sees the old one or the new one, never half of one; safetensors in and out."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cells.errors import CelloquyError

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "celloquy"


@contextlib.contextmanager
def file_errors(path: Path, verb: str) -> Iterator[None]:
    """Turns an operating system's refusal into one line that names the file."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CelloquyError(f"{path} could not be {verb}: {reason}") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file: to a temporary one beside it, onto the disk, then into place.

    Raises CelloquyError, and leaves what was there, if the disk or the folder refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with file_errors(path, "written"):
        try:
            with open(temporary, "xb") as file:
                file.write(data)
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


def make_folder(path: Path) -> None:
    """Create a folder and those above it if they are missing."""
    with file_errors(path, "made"):
        path.mkdir(parents=True, exist_ok=True)


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], header: str) -> None:
    """Write tensors and a JSON text as one safetensors file, atomically.

    The JSON is the only metadata entry, so that equal contents give equal bytes.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(whole, {METADATA_KEY: header}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; CelloquyError if it is damaged or not there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with file_errors(path, "read"):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CelloquyError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
