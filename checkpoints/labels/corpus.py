"""Reading labelled text: CSV, TSV or JSON Lines with a column of texts and a column of labels."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.corpus import CorpusFile, read_corpus
from checkpoints.header import LONGEST_TEXT, MOST_LABELS
from checkpoints.shown import plain, shown
from checkpoints.strict_json import parse_json

LONGEST_FIELD = 1 << 28

TEXT_COLUMN = "text"
LABEL_COLUMN = "label"


@dataclass(frozen=True)
class LabelledCorpus:
    """Texts with their labels: ``labels`` are places in ``names``, which stand in alphabetical order.

    ``skipped`` counts rows that had no text or no label. ``fingerprint`` is a SHA-256 of texts and labels in order.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    files: tuple[CorpusFile, ...] = ()
    fingerprint: str = ""
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def characters(self) -> int:
        """Characters in all texts."""
        return sum(map(len, self.texts))

    def counts(self, places: Sequence[int] | None = None) -> list[int]:
        """How many texts each label has, of all or of those at ``places``."""
        chosen = self.labels if places is None else [self.labels[place] for place in places]
        found = Counter(chosen)
        return [found[number] for number in range(len(self.names))]


def read_labelled(
    paths: Sequence[str | Path],
    text_column: str = TEXT_COLUMN,
    label_column: str = LABEL_COLUMN,
    encoding: str = "utf-8",
    errors: str = "strict",
    known: Sequence[str] | None = None,
) -> LabelledCorpus:
    """Read labelled files and join them.

    The kind is told by the name's ending (.csv, .tsv, .tab, .jsonl, .ndjson) or else by the first line. A label may be
    a text, a whole number or a boolean; it is taken as text. ``known`` are the labels that may stand there (of a
    trained model), else all that do. Raises CelloquyError, naming file and line, for anything that is not such a file,
    and if there are fewer than two labels.
    """
    if not paths:
        raise CelloquyError("no corpus given: name one or more files with labelled text")
    rows: list[tuple[str, str]] = []
    files: list[CorpusFile] = []
    skipped = 0
    for path in map(Path, paths):
        corpus = read_corpus([path], encoding, errors)
        files.extend(corpus.files)
        for text, label in _rows(path, corpus.text, text_column, label_column):
            if text.strip() and label:
                rows.append((text, label))
            else:
                skipped += 1
    return _labelled(rows, files, skipped, label_column, known)


def _labelled(
    rows: Sequence[tuple[str, str]],
    files: Sequence[CorpusFile],
    skipped: int,
    label_column: str,
    known: Sequence[str] | None,
) -> LabelledCorpus:
    names = sorted({label for _, label in rows}) if known is None else list(known)
    if known is None and len(names) < 2:
        there = f"the only one is {shown(names[0])}" if names else "there is no row with text and label"
        raise CelloquyError(f"labelled text needs two labels or more; {there}")
    if len(names) > MOST_LABELS:
        raise CelloquyError(
            f"there are {len(names)} different labels, {shown(names[0])} for one; is {shown(label_column)} the column"
            " of labels? Name it with --label-column"
        )
    number = {name: place for place, name in enumerate(names)}
    for _, label in rows:
        if label not in number:
            raise CelloquyError(f"the label {shown(label)} is none of the model's: {listed(names)}")
    digest = hashlib.sha256()
    for text, label in rows:
        for part in (text, label):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)
    return LabelledCorpus(
        tuple(text for text, _ in rows),
        tuple(number[label] for _, label in rows),
        tuple(names),
        tuple(files),
        digest.hexdigest(),
        skipped,
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Labels in a message: separated by commas, fit for one line."""
    return ", ".join(plain(name, 60) for name in names[:most]) + (", …" if len(names) > most else "")


def _rows(path: Path, text: str, text_column: str, label_column: str) -> Iterator[tuple[str, str]]:
    """Text and label of every row; what is missing comes as an empty text."""
    kind = _kind(path, text)
    records = _json_records(path, text) if kind == "json" else _table_records(path, text, kind)
    for number, (line, record) in enumerate(records):
        if number == 0:
            _require_columns(path, record, text_column, label_column)
        yield _text(record.get(text_column), path, line), _label(record.get(label_column), path, line)


def _kind(path: Path, text: str) -> str:
    """``json``, or the character between a table's columns."""
    ending = path.suffix.lower()
    if ending in (".jsonl", ".ndjson", ".json"):
        return "json"
    if ending in (".tsv", ".tab"):
        return "\t"
    if ending == ".csv":
        return ","
    first = text.lstrip().partition("\n")[0]
    if first.startswith("{"):
        return "json"
    return "\t" if "\t" in first else ","


def _require_columns(path: Path, record: Mapping[str, Any], text_column: str, label_column: str) -> None:
    for column, option in ((text_column, "--text-column"), (label_column, "--label-column")):
        if column not in record:
            there = listed([str(name) for name in record])
            raise CelloquyError(f"{path} has no column {shown(column)}; it has: {there} (name it with {option})")


def _table_records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row of a table with a header, as column -> field, and the line that it ends on."""
    before = csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        twice = next((name for name, times in Counter(header).items() if name and times > 1), None)
        if twice is not None:
            raise CelloquyError(f"{path} names the column {shown(twice)} twice; give each column a name of its own")
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise CelloquyError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, but the header names {len(header)}"
                )
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise CelloquyError(
            f"{path}, line {reader.line_num}: not a table as written by a CSV library: {error}"
        ) from error
    finally:
        csv.field_size_limit(before)


def _json_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object of a JSON Lines file, and its line."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, most_parts=len(line))  # a long text has many commas
        except CelloquyError:
            record = None
        if not isinstance(record, dict):
            raise CelloquyError(f"{path}, line {number}: not a JSON object")
        yield number, record


def _text(value: Any, path: Path, line: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CelloquyError(f"{path}, line {line}: the text is not text but {shown(value)}")
    return value


def _label(value: Any, path: Path, line: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise CelloquyError(f"{path}, line {line}: the label is {shown(value)}; labels are texts or whole numbers")
    label = str(value).strip()
    if len(label) > LONGEST_TEXT or not (label.isprintable() or not label):
        raise CelloquyError(f"{path}, line {line}: {shown(label)} is no label: it is too long or cannot be shown")
    return label
