"""Tokens of a large corpus in a file that is mapped into memory, kept from one run to the next.

A file is a header of 4096 bytes (JSON, padded) and the tokens, as small a whole number each as the vocabulary allows.
The header holds the SHA-256 of the rest: whatever is damaged, cut off or of another version counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy
from numpy.typing import NDArray

from cells.errors import CelloquyError
from checkpoints.finding import home
from checkpoints.strict_json import parse_json

FORMAT = 1
DTYPES = ("<u1", "|u1", "<u2", "<i4")
HEADER = 4096
SUFFIX = ".tokens"
LARGEST_CACHE = 8 << 30
"""Bytes of all files together; the ones that were not used for longest go first."""

LARGEST_NOTE = 1 << 24
"""Bytes of a note that is read: the largest holds the characters of a corpus."""

STALE_SECONDS = 86_400
"""The age from which a half-written file is one that nobody is writing any more."""

Part = NDArray[numpy.integer[Any]]


@dataclass(frozen=True)
class CachedTokens:
    """The training and the validation part, mapped into memory."""

    train: Part
    validation: Part


def cache_folder() -> Path:
    """``$CELLOQUY_HOME/cache``, or the platform's folder for caches."""
    if os.environ.get("CELLOQUY_HOME"):
        return home() / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("celloquy", appauthor=False))


def key(*parts: Any) -> str:
    """A file name for what is described by JSON values."""
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True).encode()).hexdigest()[:40]


def small_dtype(vocabulary_size: int) -> numpy.dtype[Any]:
    """The smallest whole number that holds every token id."""
    return numpy.dtype("<u1" if vocabulary_size <= 1 << 8 else "<u2" if vocabulary_size <= 1 << 16 else "<i4")


def kept_tokens(name: str) -> CachedTokens | None:
    """The tokens that were written under this name; None if there are none, or they are not as they were written."""
    path = cache_folder() / f"{name}{SUFFIX}"
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return None
        with open(path, "rb") as file:
            tokens = _mapped(file)
        os.utime(path)
    except (OSError, ValueError, TypeError, KeyError, CelloquyError):
        return None
    return tokens


def written_tokens(name: str, dtype: numpy.dtype[Any], parts: Callable[[], Iterable[Iterable[Any]]]) -> CachedTokens:
    """Write two parts, each an iterable of arrays of token ids, under this name, and map them.

    Where the folder of caches cannot be written, or is full, a temporary file that nobody sees takes its place. Raises
    CelloquyError if there is no room for that either.
    """
    folder = cache_folder()
    temporary = folder / f".{name}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder)
        try:
            with open(temporary, "w+b") as file:
                _write(file, dtype, parts())
                os.replace(temporary, folder / f"{name}{SUFFIX}")
                return _mapped(file)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError:
        pass
    try:
        with tempfile.TemporaryFile() as file:
            _write(file, dtype, parts())
            return _mapped(file)
    except OSError as error:
        raise CelloquyError(
            f"there is no room for the tokens of this corpus: {os.strerror(error.errno or 0)}"
        ) from error


def _write(file: IO[bytes], dtype: numpy.dtype[Any], parts: Iterable[Iterable[Any]]) -> None:
    digest, lengths = hashlib.sha256(), []
    file.seek(HEADER)
    for part in parts:
        lengths.append(0)
        for ids in part:
            lengths[-1] += len(ids)
            raw = numpy.asarray(ids, dtype=dtype).tobytes()
            digest.update(raw)
            file.write(raw)
    header = {"format": FORMAT, "dtype": dtype.str, "lengths": lengths, "sha256": digest.hexdigest()}
    file.seek(0)
    file.write(json.dumps(header).encode().ljust(HEADER))
    file.flush()
    os.fsync(file.fileno())


def _mapped(file: IO[bytes]) -> CachedTokens:
    """The tokens in an open file. Raises ValueError and the like, or CelloquyError, if it is not as it was written."""
    file.seek(0)
    header = parse_json(file.read(HEADER).decode("ascii"))
    if header["dtype"] not in DTYPES:
        raise ValueError("tokens are whole numbers")
    dtype = numpy.dtype(header["dtype"])
    train, validation = header["lengths"]
    size = os.fstat(file.fileno()).st_size
    if header["format"] != FORMAT or size != HEADER + (train + validation) * dtype.itemsize:
        raise ValueError("another format, or cut off")
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    if digest.hexdigest() != header["sha256"]:
        raise ValueError("damaged")
    both: Any = numpy.memmap(file, dtype=dtype, mode="r", offset=HEADER, shape=(train + validation,))
    return CachedTokens(both[:train], both[train:])


def let_go(tokens: Part) -> None:
    """Give back the memory of what was read of mapped tokens; the file stays mapped. For others nothing happens."""
    mapping = getattr(tokens, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def kept_note(name: str) -> Any:
    """A small JSON value that was kept; None if there is none, or it is damaged."""
    path = cache_folder() / f"{name}.json"
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_NOTE:
            return None
        text = path.read_text(encoding="utf-8")
        sum_, _, body = text.partition("\n")
        return parse_json(body) if hashlib.sha256(body.encode()).hexdigest() == sum_ else None
    except (OSError, ValueError, CelloquyError):
        return None


def keep_note(name: str, value: Any) -> None:
    """Keep a small JSON value, if the folder can be written."""
    from checkpoints.files import write_atomic

    body = json.dumps(value, ensure_ascii=True)
    text = f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}"
    with contextlib.suppress(OSError, CelloquyError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_atomic(cache_folder() / f"{name}.json", text.encode())


def _prune(folder: Path) -> None:
    """Remove what was used longest ago until the rest is small enough, and what a killed process left."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.suffix == SUFFIX:
                found.append((status.st_mtime, status.st_size, path))
            elif path.suffix == ".tmp" and time.time() - status.st_mtime > STALE_SECONDS:
                path.unlink()
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= LARGEST_CACHE:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
