"""A vocabulary in a file of its own, as other programs keep it, and its order turned into a tokenizer's. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.files import file_errors
from checkpoints.shown import shown
from checkpoints.strict_json import parse_json
from checkpoints.tokenizers import (
    LARGEST_VOCABULARY,
    UNKNOWN,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    tokenizer_from_json,
)

UNKNOWN_NAMES = ("<unk>", "<unknown>", "[unk]", UNKNOWN)
BYTES = "bytes"
"""In place of a file: the vocabulary is the 256 bytes of UTF-8, in order."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and for each of its ids the row that it has in the other program; None where it has none."""

    tokenizer: Tokenizer
    rows: tuple[int | None, ...]

    @property
    def size(self) -> int:
        """How many rows the other program has."""
        return sum(row is not None for row in self.rows)


def read_vocabulary(source: str) -> Vocabulary:
    """``bytes``, or a JSON file: a list of tokens, an object token -> id, or what ``celloquy export`` wrote.

    Every token must be one character; one may be ``<unk>``. Raises CelloquyError that names the first that is not.
    """
    if source == BYTES:
        return Vocabulary(ByteTokenizer(), tuple(range(256)))
    path = Path(source)
    with file_errors(path, "read"):
        if not path.is_file():
            raise CelloquyError(f"there is no vocabulary file {source}; write {BYTES} for the bytes of UTF-8")
        text = path.read_bytes()
    try:
        data = parse_json(text, what="it")
        if isinstance(data, dict) and isinstance(data.get("tokenizer"), dict):  # what celloquy export wrote
            tokenizer = tokenizer_from_json(data["tokenizer"])
            return Vocabulary(tokenizer, tuple(range(tokenizer.vocabulary_size)))
        return _vocabulary(_tokens(data))
    except CelloquyError as error:
        raise CelloquyError(f"{path}: {error}") from error


def _tokens(data: Any) -> list[str]:
    """The tokens in the order of their ids."""
    if isinstance(data, dict):
        ids = list(data.values())
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids) or sorted(ids) != [
            *range(len(ids))
        ]:
            raise CelloquyError("its ids are not 0, 1, 2 and so on, each once")
        data = sorted(data, key=data.__getitem__)
    if not isinstance(data, list) or not data or not all(isinstance(token, str) for token in data):
        raise CelloquyError("it must be a JSON list of tokens, or an object token -> id")
    if len(set(data)) != len(data):
        twice = next(token for token, times in Counter(data).items() if times > 1)
        raise CelloquyError(f"the token {shown(twice)} stands twice")
    return list(data)


def _vocabulary(tokens: Sequence[str]) -> Vocabulary:
    if len(tokens) > LARGEST_VOCABULARY:
        raise CelloquyError(f"{len(tokens)} tokens are more than there are characters")
    unknown = [number for number, token in enumerate(tokens) if token.lower() in UNKNOWN_NAMES]
    places = {token: number for number, token in enumerate(tokens) if number not in unknown}
    long = next((token for token in places if len(token) != 1), None)
    if len(unknown) > 1:
        raise CelloquyError(f"{shown(tokens[unknown[0]])} and {shown(tokens[unknown[1]])} are both the unknown token")
    if long is not None:
        raise CelloquyError(f"the token {shown(long)} is not one character: vocabularies of characters can be imported")
    tokenizer = CharTokenizer(places)
    first = unknown[0] if unknown else None
    return Vocabulary(tokenizer, (first, *(places[character] for character in tokenizer.characters)))


def exported(tokenizer: Tokenizer) -> dict[str, Any]:
    """A vocabulary for other programs: the tokenizer whole, and for characters the tokens in the order of their ids."""
    data: dict[str, Any] = {"tokenizer": tokenizer.to_json()}
    if isinstance(tokenizer, CharTokenizer):
        data["tokens"] = ["<unk>", *tokenizer.characters]
    return data
