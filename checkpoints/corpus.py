"""Reading a corpus: one or several UTF-8 text files, joined in the order given."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cells.errors import CelloquyError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CorpusFile:
    """A file of a corpus: its name without folders, and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Corpus:
    """A text, the files that it came from, and the SHA-256 of its UTF-8 bytes."""

    text: str
    files: tuple[CorpusFile, ...]
    fingerprint: str

    @classmethod
    def from_text(cls, text: str, files: Sequence[CorpusFile] = ()) -> Corpus:
        """A corpus from a text in memory."""
        return cls(text, tuple(files), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def read_corpus(paths: Sequence[str | Path]) -> Corpus:
    """Read and join text files. A byte-order mark is dropped, and CR LF line ends are read as LF.

    Raises CelloquyError for a file that is missing, unreadable, not UTF-8 (with the place), or if there is no text.
    """
    if not paths:
        raise CelloquyError("no corpus given: name one or more text files")
    parts, files = [], []
    for path in paths:
        raw = _read(Path(path))
        parts.append(_decode(Path(path), raw))
        files.append(CorpusFile(Path(path).name, len(raw)))
    text = "".join(parts)
    if not text:
        empty = "the file is empty" if len(paths) == 1 else f"all {len(paths)} files are empty"
        raise CelloquyError(f"{paths[0]}: {empty}; a corpus needs text")
    return Corpus.from_text(text, files)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise CelloquyError(f"{path} is a folder; name the text files in it (for example {path / '*.txt'})")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CelloquyError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise CelloquyError(f"{path} cannot be read: {reason}") from error


def _decode(path: Path, raw: bytes) -> str:
    mark = len(BYTE_ORDER_MARK) if raw.startswith(BYTE_ORDER_MARK) else 0
    try:
        text = raw[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start + mark
        raise CelloquyError(
            f"{path} is not UTF-8: byte {place} (0x{raw[place]:02x}) does not belong there; convert it to UTF-8 first"
        ) from None
    return text.replace("\r\n", "\n")
