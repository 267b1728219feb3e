"""Unicode normalisation before any token is made, recorded in the checkpoint: NFC or NFKC, and lower case."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from checkpoints.tokenizers import StreamDecoder, Tokenizer, cut

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

FORMS = ("none", "nfc", "nfkc")

KEYS = ("normalize", "lowercase")
"""The entries that normalisation adds to a tokenizer's JSON."""


def normalized(text: str, form: str, lowercase: bool) -> str:
    """A text in one of :data:`FORMS`, in lower case if asked; the same function of every text, applied once."""
    if form == "nfc":
        text = unicodedata.normalize("NFC", text)
    elif form == "nfkc":
        text = unicodedata.normalize("NFKC", text)
    return text.lower() if lowercase else text


class NormalizingTokenizer:
    """A tokenizer that reads every text normalised; what it writes is normalised text already."""

    def __init__(self, inner: Tokenizer, form: str = "none", lowercase: bool = False) -> None:
        self.inner = inner
        self.form = form
        self.lowercase = lowercase
        self.kind = inner.kind

    @property
    def vocabulary_size(self) -> int:
        """That of the tokenizer within."""
        return self.inner.vocabulary_size

    @property
    def unknown_id(self) -> int | None:
        """That of the tokenizer within."""
        return self.inner.unknown_id

    def normalized(self, text: str) -> str:
        """The text as the tokenizer within reads it."""
        return normalized(text, self.form, self.lowercase)

    def encode(self, text: str) -> list[int]:
        """The ids of the normalised text."""
        return self.inner.encode(self.normalized(text))

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The ids of the normalised text [N]."""
        return self.inner.encode_array(self.normalized(text))

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids."""
        return self.inner.decode(tokens)

    def unknown_characters(self, text: str) -> list[str]:
        """The characters of the normalised text that are not in the vocabulary."""
        return self.inner.unknown_characters(self.normalized(text))

    def cut(self, text: str, at: int) -> int:
        """A place where nothing combines with what stands before it."""
        place = cut(text, at)
        while 1 < place < len(text) and _combines(text[place]):
            place -= 1
        return place

    def stream_decoder(self) -> StreamDecoder:
        """That of the tokenizer within."""
        return self.inner.stream_decoder()

    def to_json(self) -> dict[str, Any]:
        """The tokenizer within, and how texts are normalised before it."""
        return {**self.inner.to_json(), "normalize": self.form, "lowercase": self.lowercase}


def _combines(character: str) -> bool:
    """Whether a character may become one with the one before it: marks, and the later letters of Hangul syllables."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"
