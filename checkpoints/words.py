"""Tokens that are words, each with the space before it, so that their texts joined are the text again.

The vocabulary holds the characters of the corpus and its most frequent words. A word that is not in it is spelled, a
token a character: nothing of a text is lost, and its losses can be compared with those of other tokenizers. The library
``tokenizers`` counts the words and encodes; it is imported when a text is read, never to look at a header or to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from checkpoints.bpe import import_tokenizers
from checkpoints.tokenizers import LARGEST_WORDS, TextTokens, cut, library_pieces, utf8

if TYPE_CHECKING:
    import numpy
    import tokenizers
    from numpy.typing import NDArray

DEFAULT_WORDS = 10_000
LONGEST_WORD = 64
FEWEST = 2
"""Times that a word must occur to have a token."""

_APART = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that write no spaces between words: a character of theirs is a word."""

WORD = "|".join(
    (
        rf" ?[{_APART}]",
        rf" ?[[\p{{L}}\p{{M}}]&&[^{_APART}]]+(?:['’][[\p{{L}}\p{{M}}]&&[^{_APART}]]+)*",
        r" ?\p{N}+",
        r" +(?= )",  # indentation; its last space belongs to the word
        r" ?\S",
        r"\s",
    )
)
"""What a word is, as a pattern of the library's (Oniguruma). Every character of a text is in some word."""


class WordTokenizer(TextTokens):
    """Id 0 is the unknown character; then come ``words``, each with its space. A word that is not there is spelled.

    ``spelled`` False reads such a word as one unknown token instead: what a classifier wants.
    """

    kind = "word"

    def __init__(self, words: Iterable[str], spelled: bool = True) -> None:
        self.words = tuple(words)
        self.spelled = spelled
        super().__init__(self.words)
        if not self.words or len(self._ids) != len(self.words) or len(self.words) > LARGEST_WORDS:
            raise CelloquyError("the vocabulary is damaged: its words are none, too many, or stand twice")

    @cached_property
    def _encoder(self) -> tokenizers.Tokenizer:
        library = import_tokenizers()
        encoder: tokenizers.Tokenizer = library.Tokenizer(library.models.WordLevel({"": 0, **self._ids}, unk_token=""))
        encoder.pre_tokenizer = word_splitter(library)
        return encoder

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = []
        for piece in library_pieces(text):
            encoding = self._encoder.encode(piece)
            if not self.spelled or 0 not in encoding.ids:
                ids += encoding.ids
                continue
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                if id:
                    ids.append(id)
                else:
                    ids += [self._ids.get(character, 0) for character in piece[start:end]]
        return ids

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The ids of a text [N]."""
        import numpy

        return numpy.array(self.encode(text), dtype=numpy.int32)

    def unknown_characters(self, text: str) -> list[str]:
        """The characters of unknown words that have no token of their own, in order, without repeats."""
        strange = super().unknown_characters(text)
        return strange if strange and 0 in self.encode(text) else []

    def cut(self, text: str, at: int) -> int:
        """See ``checkpoints.tokenizers.cut``."""
        return cut(text, at)

    def to_json(self) -> dict[str, Any]:
        """The words, and whether others are spelled."""
        return {"kind": "word", "words": list(self.words), "spelled": self.spelled}

    @classmethod
    def from_json(cls, data: Any) -> WordTokenizer:
        """The inverse of :meth:`to_json`; CelloquyError for anything that no training writes."""
        words, spelled = data.get("words"), data.get("spelled")
        fits = isinstance(words, list) and all(isinstance(w, str) and 0 < len(w) <= LONGEST_WORD for w in words)
        if not fits or not isinstance(spelled, bool) or data.keys() != {"kind", "words", "spelled"}:
            raise CelloquyError("the vocabulary is damaged: its words are not short texts")
        return cls(words, spelled)

    @classmethod
    def train(cls, text: str, size: int = DEFAULT_WORDS, spelled: bool = True) -> WordTokenizer:
        """The characters of a text and its most frequent words, at most ``size`` with the unknown one."""
        library = import_tokenizers()
        learner = library.Tokenizer(library.models.WordLevel(unk_token=""))
        learner.pre_tokenizer = word_splitter(library)
        trainer = library.trainers.WordLevelTrainer(
            vocab_size=2 * LARGEST_WORDS, min_frequency=FEWEST, show_progress=False, special_tokens=[]
        )
        learner.train_from_iterator(library_pieces(text), trainer)
        ranked = sorted((rank, word) for word, rank in learner.get_vocab().items())
        characters = sorted(set(utf8(text).decode("utf-8")))
        words = [word for _, word in ranked if 1 < len(word) <= LONGEST_WORD]
        if size <= len(characters):
            raise CelloquyError(
                f"a vocabulary of {size} words has no room for the {len(characters)} characters of this corpus;"
                f" give --tokens word:{10 ** len(str(2 * len(characters)))}"
            )
        return cls(characters + words[: size - len(characters) - 1], spelled)


def word_splitter(library: Any) -> tokenizers.pre_tokenizers.PreTokenizer:
    """How ``tokenizers`` cuts a text into words."""
    splitter: tokenizers.pre_tokenizers.PreTokenizer = library.pre_tokenizers.Split(library.Regex(WORD), "isolated")
    return splitter
