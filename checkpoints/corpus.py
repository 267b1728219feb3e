"""Reading a corpus: one or several text files, UTF-8 unless said otherwise, joined in the order given."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cells.errors import CelloquyError, UsageError
from checkpoints.shown import plain, shown

BYTE_ORDER_MARK = "\ufeff"
OFFERED = "name its --encoding, or give --errors replace"


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

    @property
    def characters(self) -> int:
        """How many there are."""
        return len(self.text)

    @property
    def letters(self) -> str:
        """A text with every character of the corpus: the corpus itself."""
        return self.text

    @classmethod
    def from_text(cls, text: str, files: Sequence[CorpusFile] = ()) -> Corpus:
        """A corpus from a text in memory."""
        return cls(text, tuple(files), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def read_corpus(paths: Sequence[str | Path], encoding: str = "utf-8", errors: str = "strict") -> Corpus:
    """Read and join text files. A byte-order mark is dropped, and CR LF line ends are read as LF.

    ``errors``: ``strict`` refuses bytes that are not in this encoding, ``replace`` reads them as U+FFFD. Raises
    CelloquyError for a file that is missing, unreadable, not in this encoding (with the place), or if there is no
    text; UsageError for an encoding that Python does not know.
    """
    if not paths:
        raise CelloquyError("no corpus given: name one or more text files")
    parts, files = [], []
    for path in map(Path, paths):
        raw = _read(path)
        parts.append(_decode(path, raw, encoding, errors))
        files.append(CorpusFile(plain(path.name, 200), len(raw)))
    text = "".join(parts)
    if not text:
        empty = "the file is empty" if len(paths) == 1 else f"all {len(paths)} files are empty"
        raise CelloquyError(f"{paths[0]}: {empty}; a corpus needs text")
    return Corpus.from_text(text, files)


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says of a file that cannot be read into one line."""
    try:
        yield
    except FileNotFoundError:
        raise CelloquyError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise CelloquyError(f"{path} is a folder; name the text files in it (for example {path / '*.txt'})") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise CelloquyError(f"{path} cannot be read: {reason}") from error


def _read(path: Path) -> bytes:
    """The bytes of a file: of one that is growing, those that it has now; of a pipe, all that come."""
    with read_errors(path), open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise CelloquyError(f"{path} is a device, which may never end; name a file")
        return file.read(status.st_size if stat.S_ISREG(status.st_mode) else -1)


def _decode(path: Path, raw: bytes, encoding: str, errors: str) -> str:
    try:
        text = raw.decode(encoding, errors)
        text.encode("utf-8")  # some encodings can hold half a character, which UTF-8 cannot
    except (LookupError, ValueError) as error:
        if not isinstance(error, UnicodeError):
            raise UsageError(
                f"encoding {shown(encoding)} is not known; utf-8, utf-16, latin-1 and cp1252 are"
            ) from None
        if not isinstance(error, UnicodeDecodeError):
            raise CelloquyError(f"{path} is not {encoding.upper()}; {OFFERED}") from None
        raise not_in_encoding(path, encoding, error.start, raw[error.start]) from None
    return text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")


def not_in_encoding(path: Path, encoding: str, place: int, byte: int) -> CelloquyError:
    """The complaint about a byte that does not belong where it stands."""
    return CelloquyError(
        f"{path} is not {encoding.upper()}: byte {place} (0x{byte:02x}) does not belong there; {OFFERED}"
    )
