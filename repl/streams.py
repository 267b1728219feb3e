"""Standard input and output: UTF-8 whatever the locale, results without loss, text that a terminal can show."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from cells.errors import CelloquyError
from checkpoints.progress import LastingStream
from repl.visible import is_hostile, visible


def use_utf8() -> None:
    """Make standard output and error UTF-8, so that no locale and no text can stop a result from being written.

    Bytes that were not UTF-8 on the command line come out as the bytes they were. A remark that nobody can read any
    more, its pipe closed or its disk full, keeps no result from standard output.
    """
    if sys.stdout is None:  # it was closed before the program began
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    if not isinstance(sys.stderr, LastingStream):
        sys.stderr = cast(TextIO, LastingStream(sys.stderr))


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def argument_text(text: str) -> str:
    """A text from the command line as UTF-8, whatever the locale made of it."""
    try:
        return os.fsencode(text).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at this end."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def read_input() -> str:
    """Everything on standard input. Raises CelloquyError if it is not UTF-8."""
    return _decode(_input_bytes().read(), "standard input")


def input_lines() -> Iterator[str]:
    """The lines of standard input, without their ends, as they come."""
    return _lines(_input_bytes(), "standard input")


def file_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, without their ends, read as they are asked for. Raises CelloquyError."""
    try:
        with path.open("rb") as file:
            yield from _lines(file, str(path))
    except OSError as error:
        raise CelloquyError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from error


def _lines(file: Iterable[bytes], what: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        yield _decode(line.rstrip(b"\n").removesuffix(b"\r"), f"line {number} of {what}")


def read_text_file(path: Path) -> str:
    """A UTF-8 text file, to the byte: no line end is changed. Raises CelloquyError."""
    try:
        return _decode(path.read_bytes(), str(path))
    except OSError as error:
        raise CelloquyError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from error


def _input_bytes() -> io.BufferedIOBase:
    return sys.stdin.buffer if sys.stdin is not None else io.BytesIO()  # type: ignore[return-value]


def _decode(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CelloquyError(f"{what} is not UTF-8: byte {error.start} is 0x{data[error.start]:02X}") from error


def shown(text: str) -> str:
    """Text for standard output: as it is for a file or pipe, with control characters visible for a terminal."""
    return visible(text) if is_terminal(sys.stdout) else text


def to_json(value: Any) -> str:
    """JSON on one line, readable in every script; what a terminal might obey, or UTF-8 cannot hold, is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(character):04x}" if is_hostile(character) else character for character in text)
