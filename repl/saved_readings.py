"""A model's way through a text as JSON, and back: passages as they were read and drawn, states to the last bit.

The passages of one reading form a tree (marks may stand on branches that were taken back), kept as a list in which
each names the one before it by its place. Most passages give no state: it is worked out again from the last one that
does, by the same arithmetic.
"""

from __future__ import annotations

import base64
import binascii
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from cells.errors import CelloquyError
from cells.state import state_from_tensors, state_tensors
from repl.randomness import Randomness
from repl.reading import Passage, Reading
from repl.text_model import Position, TextModel

STATE_EVERY = 64
"""One passage in so many carries its state: it bounds the work of going back in an opened text."""


class SavedTree:
    """Passages of one reading, numbered so that each comes after the one before it; 0 is the beginning.

    What was worked out for a passage is remembered: passages do not change, and a text is saved again every second.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._passages: list[Passage] = []
        self._rows: list[str] = []

    def number(self, passage: Passage) -> int:
        """The number of a passage; it and all before it are taken in."""
        way = []
        for step in passage.back():
            if id(step) in self._numbers:
                break
            way.append(step)
        for step in reversed(way):
            self._numbers[id(step)] = len(self._passages)
            self._passages.append(step)
            self._rows.append(_dumps(self._row(step)))
        return self._numbers[id(passage)]

    def _row(self, passage: Passage) -> dict[str, Any]:
        row: dict[str, Any] = {
            "before": self._before(passage),  # the first of all: see keep
            "text": passage.text,
            "tokens": passage.tokens.tolist(),
            "drawn": passage.drawn,
            "random": randomness_json(passage.randomness),
        }
        if passage.memory:
            row["memory"] = passage.memory
        if passage.memories:
            row["memories"] = list(passage.memories)
        kept = passage.depth % STATE_EVERY == 0 or not passage.tokens  # one without tokens only changed the label
        if passage.position is not None and kept and passage.before is not None:
            row["state"] = position_json(passage.position)
        return row

    def keep(self, ends: Iterable[Passage]) -> None:
        """Take in these passages and all before them, and forget the others: what was taken back and has no mark."""
        used: set[int] = set()
        for end in ends:
            self.number(end)
            for step in end.back():
                if id(step) in used:
                    break
                used.add(id(step))
        if len(used) == len(self._passages):
            return
        left = [(step, row) for step, row in zip(self._passages, self._rows, strict=True) if id(step) in used]
        self._passages = [step for step, _ in left]
        self._numbers = {id(step): number for number, step in enumerate(self._passages)}
        self._rows = [f'{{"before":{self._before(step)},{row.partition(",")[2]}' for step, row in left]

    def _before(self, passage: Passage) -> int:
        return -1 if passage.before is None else self._numbers[id(passage.before)]

    def rows(self, states: Mapping[int, Position]) -> str:
        """Every passage, as JSON; ``states`` are places that must be kept, by number."""
        rows = list(self._rows)
        for number, position in states.items():
            if number:
                rows[number] = _dumps(self._row(self._passages[number]) | {"state": position_json(position)})
        return f"[{','.join(rows)}]"


def _dumps(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def randomness_json(randomness: Randomness) -> list[int]:
    """Seed, sample, counter."""
    return [randomness.seed, randomness.sample, randomness.counter]


def randomness_from(data: Any) -> Randomness:
    """The inverse of :func:`randomness_json`."""
    if not isinstance(data, list) or len(data) != 3 or not all(type(n) is int and n >= 0 for n in data):
        raise CelloquyError("its random numbers are not as they were written")
    return Randomness(*data)


def position_json(position: Position) -> dict[str, Any]:
    """A model's state, and the token that is not in it yet."""
    tensors = {
        name: {"dtype": _dtype(tensor), "data": _packed(tensor)}
        for name, tensor in state_tensors(position.state).items()
    }
    return {"pending": position.pending, "tensors": tensors}


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _packed(tensor: torch.Tensor) -> str:
    return base64.b64encode(tensor.detach().cpu().contiguous().numpy().tobytes()).decode("ascii")


def position_from(data: Any, model: TextModel) -> Position:
    """The inverse of :func:`position_json`, for a model whose states have the same shapes."""
    beginning = state_tensors(model.beginning().state)
    try:
        pending, stored = data["pending"], data["tensors"]
        if set(stored) != set(beginning):
            raise ValueError("other states")
        tensors = {}
        for name, like in beginning.items():
            raw = bytearray(base64.b64decode(stored[name]["data"], validate=True))
            if stored[name]["dtype"] != _dtype(like) or len(raw) != like.numel() * like.element_size():
                raise ValueError("another shape")
            tensors[name] = torch.frombuffer(raw, dtype=like.dtype).reshape(like.shape).to(like.device)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise CelloquyError("a state in it is not as it was written") from error
    if pending is not None:  # None where a label was set before there was any text
        _check_token(pending, model)
    return Position(state_from_tensors(tensors), pending)


def _check_token(token: Any, model: TextModel) -> None:
    if type(token) is not int or not 0 <= token < model.tokenizer.vocabulary_size:
        raise CelloquyError(f"token {str(token)[:20]!r} in it is none of this checkpoint's")


def reading_from(rows: Sequence[Any], model: TextModel) -> tuple[Reading, list[Passage]]:
    """A reading with these passages, standing at its beginning, and the passages by number."""
    try:
        reading = Reading(model, randomness_from(rows[0]["random"]))
        passages = [reading.last]
        for row in rows[1:]:
            passages.append(_passage(row, passages, model))
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise CelloquyError("its text is not as it was written") from error
    return reading, passages


def _passage(row: Mapping[str, Any], passages: Sequence[Passage], model: TextModel) -> Passage:
    number, text, tokens, drawn = row["before"], row["text"], row["tokens"], row["drawn"]
    if type(number) is not int or not 0 <= number < len(passages) or not isinstance(text, str):
        raise CelloquyError("its text is not as it was written")
    before = passages[number]
    for token in tokens:
        _check_token(token, model)
    decoder = before.decoder.copy() if drawn or not tokens else model.tokenizer.stream_decoder()
    if drawn and "".join(map(decoder.push, tokens)) != text:
        raise CelloquyError("its text and its tokens differ")
    return Passage(
        before,
        text,
        array("i", tokens),
        bool(drawn),
        position_from(row["state"], model) if "state" in row else None,
        decoder,
        randomness_from(row["random"]),
        _memory(row.get("memory", {})),
        tuple(map(_memory, row.get("memories", ()))),
        before.depth + 1,
        before.token_count + len(tokens),
        before.character_count + len(text),
    )


def _memory(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(_scalar(value) for value in data.values()):
        raise CelloquyError("a sampler's memory in it is not as it was written")
    return dict(data)


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
