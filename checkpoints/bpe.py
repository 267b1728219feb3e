"""Byte-pair encoding (Sennrich, Haddow and Birch 2016) on bytes (Radford et al. 2019), trained on a corpus.

The library ``tokenizers`` learns the merges and encodes; it is imported when a text is read, never to look at a header
or to write. A checkpoint holds the merges and nothing else, as pairs of ids: 0 to 255 are the bytes, and each merge
that makes new bytes adds the next id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from checkpoints.tokenizers import BYTES, LARGEST_BPE, ByteTokens, cut, library_pieces

if TYPE_CHECKING:
    import numpy
    import tokenizers
    from numpy.typing import NDArray

LONGEST_TOKEN = 64
"""Bytes of a token at most: what a damaged header doubles with each merge ends here."""


def _byte_characters() -> tuple[str, ...]:
    """The visible character by which ``tokenizers`` writes each byte: its own, or the next from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in visible else next(others)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()


class BpeTokenizer(ByteTokens):
    """Tokens of one or more bytes; nothing is unknown. ``merges`` are pairs of ids, in the order in which they apply.

    Raises CelloquyError for merges that no training gives: of an id that is not there yet, one that stands twice, or
    one that makes a token of more than 64 bytes.
    """

    kind = "bpe"

    def __init__(self, merges: Iterable[tuple[int, int]]) -> None:
        self.merges = tuple(merges)
        super().__init__(_token_bytes(self.merges))

    @cached_property
    def _encoder(self) -> tokenizers.Tokenizer:
        library = import_tokenizers()
        names = ["".join(BYTE_CHARACTERS[byte] for byte in token) for token in self.tokens]
        merges = [(names[left], names[right]) for left, right in self.merges]
        encoder: tokenizers.Tokenizer = library.Tokenizer(
            library.models.BPE({name: id for id, name in enumerate(names)}, merges)
        )
        encoder.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        return encoder

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a lone surrogate, which UTF-8 cannot hold, reads as U+FFFD."""
        ids: list[int] = []
        for piece in library_pieces(text):
            ids += self._encoder.encode(piece).ids
        return ids

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The ids of a text [N]."""
        import numpy

        return numpy.array(self.encode(text), dtype=numpy.int32)

    def cut(self, text: str, at: int) -> int:
        """See ``checkpoints.tokenizers.cut``."""
        return cut(text, at)

    def to_json(self) -> dict[str, Any]:
        """The merges as one list, two ids each."""
        return {"kind": "bpe", "merges": [id for merge in self.merges for id in merge]}

    @classmethod
    def from_json(cls, data: Any) -> BpeTokenizer:
        """The inverse of :meth:`to_json`; CelloquyError for anything that no training writes."""
        numbers = data.get("merges")
        fits = isinstance(numbers, list) and len(numbers) % 2 == 0 and len(numbers) <= 2 * LARGEST_BPE
        if not fits or data.keys() != {"kind", "merges"} or any(type(id) is not int for id in numbers):
            raise CelloquyError("the vocabulary is damaged: its merges are not pairs of whole numbers")
        return cls(zip(numbers[::2], numbers[1::2], strict=True))

    @classmethod
    def train(cls, text: str, size: int) -> BpeTokenizer:
        """Learn at most ``size`` tokens, the 256 bytes included, from a text."""
        library = import_tokenizers()
        learner = library.Tokenizer(library.models.BPE())
        learner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            initial_alphabet=list(BYTE_CHARACTERS),
            special_tokens=[],
            max_token_length=LONGEST_TOKEN,
        )
        learner.train_from_iterator(library_pieces(text), trainer)
        return cls(_learned_merges(learner))


def import_tokenizers() -> Any:
    """The library, told not to start threads: those of a process that is forked later would be a warning."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tokenizers

    return tokenizers


def _token_bytes(merges: tuple[tuple[int, int], ...]) -> list[bytes]:
    """The bytes of every id."""
    tokens = list(BYTES)
    known = set(tokens)
    seen = set()
    for number, (left, right) in enumerate(merges):
        if not (0 <= left < len(tokens) and 0 <= right < len(tokens)) or (left, right) in seen:
            raise CelloquyError(f"the vocabulary is damaged: its merge {number} is not one that can be")
        seen.add((left, right))
        token = tokens[left] + tokens[right]
        if len(token) > LONGEST_TOKEN:
            raise CelloquyError(f"the vocabulary is damaged: its merge {number} makes a token of {len(token)} bytes")
        if token not in known:
            known.add(token)
            tokens.append(token)
    return tokens


def _learned_merges(learner: tokenizers.Tokenizer) -> Iterator[tuple[int, int]]:
    """The merges that were learned, as pairs of our ids."""
    import json

    learned = json.loads(learner.to_str())["model"]["merges"]
    ids = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}
    for merge in learned:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield ids[left], ids[right]
        ids.setdefault(left + right, len(ids))
