"""Text files read piece by piece: what ``read_corpus`` gives in one piece, without ever holding it whole."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints.corpus import BYTE_ORDER_MARK, not_in_encoding, read_errors

CHUNK = 1 << 20
"""Bytes read at once."""

LOOKAHEAD = 1 << 12
"""Characters beyond a place that decide whether a text may be cut there."""

ENCODINGS = ("utf-8", "ascii", "iso8859-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
"""Encodings whose decoders say where they stand; the others are read whole."""


@dataclass(frozen=True)
class StreamedFile:
    """A regular file: so many bytes of it are read, even if it grows; ``identity`` changes when it is written to."""

    path: Path
    bytes: int
    identity: tuple[Any, ...]


def streamed_files(paths: Sequence[str | Path], encoding: str) -> list[StreamedFile] | None:
    """The files, if all can be read piece by piece and again from the start; None if not. Complains of nothing."""
    try:
        known = codecs.lookup(encoding).name in ENCODINGS
    except (LookupError, ValueError):
        return None
    files = []
    for path in map(Path, paths):
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        if not known or not stat.S_ISREG(status.st_mode):
            return None
        place = (os.path.realpath(path), status.st_dev, status.st_ino)
        files.append(
            StreamedFile(path, status.st_size, (*place, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        )
    return files


def pieces(files: Sequence[StreamedFile], encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
    """The joined text in pieces; a byte-order mark is dropped, and CR LF read as LF, in each file.

    Raises CelloquyError for a file that cannot be read, or is not in this encoding (with the place).
    """
    for file in files:
        yield from _file_pieces(file, encoding, errors)


def _file_pieces(file: StreamedFile, encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    left, held, first = file.bytes, "", True
    with read_errors(file.path), open(file.path, "rb") as source:
        while True:
            raw = source.read(min(CHUNK, left))
            left -= len(raw)
            final = left == 0 or not raw
            try:
                text = held + decoder.decode(raw, final)
            except UnicodeDecodeError as error:
                place = source.tell() - len(error.object) + error.start
                raise not_in_encoding(file.path, encoding, place, error.object[error.start]) from None
            held = ""
            if first and text:
                text, first = text.removeprefix(BYTE_ORDER_MARK), False
            if text.endswith("\r") and not final:
                text, held = text[:-1], "\r"
            if text:
                yield text.replace("\r\n", "\n")
            if final:
                return


def cut_well(texts: Iterable[str], cut: Callable[[str, int], int]) -> Iterator[str]:
    """The same text in pieces that end where ``cut`` (a tokenizer's) lets them."""
    held = ""
    for text in texts:
        held += text
        if len(held) > 2 * LOOKAHEAD:
            place = cut(held, len(held) - LOOKAHEAD)
            yield held[:place]
            held = held[place:]
    if held:
        yield held
