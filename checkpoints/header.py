"""What a checkpoint says of itself: a JSON header in a safetensors file. Read without torch; imports nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.digest import METADATA_KEY, description
from checkpoints.files import file_errors
from checkpoints.shown import plain, shown
from checkpoints.strict_json import parse_json
from checkpoints.tensor_table import TensorInfo, check_layout, read_table

FORMAT = 1
GENERATE, CLASSIFY = TASKS = ("generate", "classify")
MOST_LABELS = 1000
"""What training takes; each label costs a reading of every text that is judged."""

LONGEST_TEXT = 200
"""Characters of a family's or a cell's name, and of the other short texts of a header."""


@dataclass(frozen=True)
class Header:
    """The description of a trained model.

    ``cell``: name, version, options, distribution, distribution_version. ``model``: the sizes
    (``cells.model.ModelConfig``). ``tokenizer``: with its whole vocabulary. ``split``: val_fraction, train_tokens,
    val_tokens. ``corpus``: files, characters, fingerprint. ``figures``: step, tokens_seen, seconds, train_loss,
    val_loss, val_perplexity, val_bits_per_character (losses in nats a token). ``recipe``: the training options.
    ``template``: a dialogue template or None. ``task``: ``generate`` or ``classify``. ``labels``, where texts had some:
    their ``names`` in the model's order, and ``counts``, the texts of each to learn from.
    """

    family: str
    cell: dict[str, Any]
    model: dict[str, Any]
    tokenizer: dict[str, Any]
    split: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    celloquy: str = ""
    template: dict[str, Any] | None = None
    task: str = GENERATE
    labels: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    tensors: Mapping[str, TensorInfo] = field(default_factory=dict, compare=False, repr=False)
    bytes: int = field(default=0, compare=False)

    @property
    def cell_name(self) -> str:
        """The registered name of the cell."""
        return str(self.cell["name"])

    @property
    def name(self) -> str:
        """``family.cell``."""
        return f"{self.family}.{self.cell_name}"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that the model knows, in its own order; none if it was trained without."""
        return tuple(self.labels.get("names", ()))

    @property
    def val_loss(self) -> float | None:
        """The validation loss in nats a token, if there was a validation part."""
        return self._figure("val_loss")

    @property
    def val_bits_per_character(self) -> float | None:
        """The validation loss in bits a character, which can be compared whatever the tokens are."""
        return self._figure("val_bits_per_character")

    def _figure(self, name: str) -> float | None:
        value = self.figures.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def parameters(self) -> int:
        """The number of learned numbers in the file."""
        return sum(info.count for info in self.tensors.values())

    def to_json(self) -> dict[str, Any]:
        """Everything that is written into the file; without labels, what was written before there were any."""
        written = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in written.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}

    def dumps(self) -> str:
        """The JSON text; the same header gives the same text."""
        return json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, allow_nan=False)


FIELDS = tuple(f.name for f in dataclasses.fields(Header) if f.name not in ("tensors", "bytes"))
_OBJECTS = ("cell", "model", "tokenizer", "split", "corpus", "figures", "recipe", "labels")
_OPTIONAL: dict[str, Any] = {"task": GENERATE, "labels": {}}
"""Entries that a file may lack, and what they are then."""


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a checkpoint file. The tensors are looked at by shape and place only, never loaded.

    Raises CelloquyError, one line, for a file that is missing, cut short, damaged, or not one of ours.
    """
    path = Path(path)
    with file_errors(path, "read"):
        if not path.is_file():
            raise CelloquyError(f"{path}: there is no such checkpoint file")
        table = read_table(path)
    if METADATA_KEY not in table.metadata:
        raise CelloquyError(f"{path} is a safetensors file, but not a checkpoint of Celloquy")
    try:
        text = description(table)
        return _from_json(parse_json(text), check_layout(table), table.size)
    except CelloquyError as error:
        raise CelloquyError(f"{path} is damaged: {plain(str(error))}") from error


def _from_json(data: Any, tensors: Mapping[str, TensorInfo], size: int) -> Header:
    if not isinstance(data, dict):
        raise CelloquyError("its header is not a JSON object")
    version = data.get("format")
    if version != FORMAT or isinstance(version, bool):
        raise CelloquyError(f"its format is {shown(version)}; this version of Celloquy reads format {FORMAT}")
    data = {**_OPTIONAL, **data}
    missing = [name for name in FIELDS if name not in data]
    if missing:
        raise CelloquyError(f"its header has no {missing[0]!r}")
    strange = sorted(data.keys() - set(FIELDS))
    if strange:
        raise CelloquyError(f"its header has the unknown entry {shown(strange[0])}")
    for name in _OBJECTS:
        if not isinstance(data[name], dict):
            raise CelloquyError(f"{name!r} in its header is not a JSON object")
    for name in ("family", "created", "celloquy"):
        if not _short_text(data[name], name == "family"):
            raise CelloquyError(f"{name!r} in its header is not a short text")
    if not (data["template"] is None or isinstance(data["template"], dict)):
        raise CelloquyError("'template' in its header is not a JSON object")
    _check_cell(data["cell"])
    _check_labels(data["task"], data["labels"])
    return Header(**{name: data[name] for name in FIELDS}, tensors=tensors, bytes=size)


def _check_cell(cell: dict[str, Any]) -> None:
    for name, kind in (("name", str), ("version", int), ("options", dict)):
        if not isinstance(cell.get(name), kind) or isinstance(cell.get(name), bool):
            raise CelloquyError(f"its header has no proper {name} of the cell")
    for name in ("name", "distribution", "distribution_version"):
        if not _short_text(cell.get(name, ""), name == "name"):
            raise CelloquyError(f"its header has no proper {name} of the cell")


def _check_labels(task: Any, labels: dict[str, Any]) -> None:
    if task not in TASKS:
        raise CelloquyError(f"its task is {shown(task)}; this version of Celloquy knows {' and '.join(TASKS)}")
    if not labels and task == GENERATE:
        return
    names, counts = labels.get("names"), labels.get("counts")
    if not isinstance(names, list) or not 2 <= len(names) <= MOST_LABELS:
        raise CelloquyError(f"its labels are not a list of 2 to {MOST_LABELS}")
    if not all(_short_text(name, False) and name for name in names):
        raise CelloquyError("its labels are not short texts")
    if len(set(names)) < len(names) or not isinstance(counts, list) or len(counts) != len(names):
        raise CelloquyError("its labels stand twice, or are not counted")
    whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts)
    if not whole or not any(counts):
        raise CelloquyError("the counts of its labels are not whole numbers, or all 0")


def _short_text(value: Any, is_name: bool) -> bool:
    """Whether a value is text that can be shown, and as a name be a part of a file's name."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not (value.isprintable() or not value):
        return False
    return not is_name or (value != "" and not set(value) & {"/", "\\"} and not value.startswith("."))
