"""Tokenizers: text to token ids and back, with the whole vocabulary in plain JSON. No torch here."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from cells.errors import CelloquyError, UsageError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

UNKNOWN = "\ufffd"
"""What an unknown token reads as when it must be shown."""

LARGEST_VOCABULARY = 0x110000
LARGEST_BPE = 65_536
LARGEST_WORDS = 100_000
LONG = 4096
"""From this many characters on, numpy encodes faster than a dict."""

BYTES = tuple(bytes((byte,)) for byte in range(256))
PIECE = 1 << 16
"""Characters that the ``tokenizers`` library is given at once: bounds the memory that a large corpus takes."""


class StreamDecoder(Protocol):
    """Turns token ids into text one at a time; what is returned is always whole characters."""

    def push(self, token: int) -> str:
        """The text that this token completes, perhaps none."""

    def flush(self) -> str:
        """What is left at the end: U+FFFD for half a character, else nothing."""

    def copy(self) -> StreamDecoder:
        """An independent decoder at the same place."""


class Tokenizer(Protocol):
    """What the trainer, the scorer and the generator need of a tokenizer."""

    kind: str

    @property
    def vocabulary_size(self) -> int:
        """The number of token ids, the unknown one included."""

    @property
    def unknown_id(self) -> int | None:
        """The id that unknown text reads as; None where nothing can be unknown."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The ids of a text as an array: fast for megabytes."""

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids."""

    def unknown_characters(self, text: str) -> list[str]:
        """The characters of a text that are not in the vocabulary: in order, without repeats."""

    def cut(self, text: str, at: int) -> int:
        """The last place up to ``at``, but not 0, where both parts of a text encode as the whole does; else ``at``."""

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for one stream."""

    def to_json(self) -> dict[str, Any]:
        """Everything there is to know about the tokenizer; :func:`tokenizer_from_json` is the inverse."""


class TextTokens:
    """Tokens that are texts: id 0 is what is unknown, and id n the n-th of ``texts``."""

    unknown_id: int | None = 0

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._ids = {text: number for number, text in enumerate(texts, 1)}

    @property
    def vocabulary_size(self) -> int:
        """The texts and the unknown one."""
        return len(self._texts) + 1

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids; the unknown one shows as U+FFFD."""
        return "".join(map(self.text, tokens))

    def text(self, token: int) -> str:
        """The text of one id; CelloquyError if there is no such id."""
        if not 0 <= token <= len(self._texts):
            raise CelloquyError(f"token {token} is outside the vocabulary of {self.vocabulary_size}")
        return self._texts[token - 1] if token else UNKNOWN

    def unknown_characters(self, text: str) -> list[str]:
        """The characters that the vocabulary lacks, in order of appearance, without repeats."""
        strange = set(text) - self._ids.keys()
        return list(dict.fromkeys(c for c in text if c in strange)) if strange else []

    def stream_decoder(self) -> TextDecoder:
        """A decoder; these tokens have no halves, so it keeps nothing."""
        return TextDecoder(self)


class TextDecoder:
    """The stream decoder of tokens that are texts."""

    def __init__(self, tokens: TextTokens) -> None:
        self.push = tokens.text  # itself: what is called for every token of bulk work costs no call more

    def flush(self) -> str:
        """Nothing is ever left."""
        return ""

    def copy(self) -> TextDecoder:
        """Itself: there is nothing to keep apart."""
        return self


class CharTokenizer(TextTokens):
    """A token a character (Unicode code point). Id 0 is the unknown character; the others are in code point order."""

    kind = "char"

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = "".join(sorted(set(characters)))
        if not self.characters:
            raise CelloquyError("a vocabulary needs at least one character")
        super().__init__(self.characters)

    @cached_property
    def _table(self) -> NDArray[numpy.int32]:
        """Code point -> id, for all of Unicode; made once, when a long text comes."""
        import numpy

        table = numpy.zeros(LARGEST_VOCABULARY, dtype=numpy.int32)
        table[_code_points(self.characters)] = numpy.arange(1, self.vocabulary_size, dtype=numpy.int32)
        return table

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The ids of a text [N], by one table lookup over all code points."""
        encoded: NDArray[numpy.int32] = self._table[_code_points(text)]
        return encoded

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a character that is not in the vocabulary reads as id 0."""
        if len(text) < LONG:
            return [self._ids.get(character, 0) for character in text]
        return [int(token) for token in self.encode_array(text).tolist()]

    def cut(self, text: str, at: int) -> int:
        """Anywhere will do."""
        return min(at, len(text))

    def to_json(self) -> dict[str, Any]:
        """Kind and characters."""
        return {"kind": "char", "characters": self.characters}


class ByteTokens:
    """Tokens of one or more bytes of UTF-8, so that nothing is unknown: id n is the n-th of ``tokens``."""

    unknown_id: int | None = None

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = tokens

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are."""
        return len(self.tokens)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of ids; bytes that are not UTF-8 show as U+FFFD."""
        decoder = self.stream_decoder()
        return "".join(decoder.push(token) for token in tokens) + decoder.flush()

    def unknown_characters(self, text: str) -> list[str]:
        """None, ever."""
        return []

    def stream_decoder(self) -> ByteDecoder:
        """A decoder that waits for the last byte of a character."""
        return ByteDecoder(self.tokens)


class ByteDecoder:
    """The stream decoder of tokens that are bytes: half a character is kept until it is whole."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that this token completes."""
        if not 0 <= token < len(self._tokens):
            raise CelloquyError(f"token {token} is outside the vocabulary of {len(self._tokens)}")
        return self._decoder.decode(self._tokens[token])

    def flush(self) -> str:
        """U+FFFD if half a character was kept."""
        return self._decoder.decode(b"", final=True)

    def copy(self) -> ByteDecoder:
        """A decoder with the same half character."""
        other = ByteDecoder(self._tokens)
        other._decoder.setstate(self._decoder.getstate())
        return other


class ByteTokenizer(ByteTokens):
    """A token a byte of UTF-8: 256 ids, and nothing is unknown."""

    kind = "byte"

    def __init__(self) -> None:
        super().__init__(BYTES)

    def encode_array(self, text: str) -> NDArray[numpy.int32]:
        """The bytes of a text [N]."""
        import numpy

        return numpy.frombuffer(utf8(text), dtype=numpy.uint8).astype(numpy.int32)

    def encode(self, text: str) -> list[int]:
        """The bytes of a text; a lone surrogate, which UTF-8 cannot hold, reads as U+FFFD."""
        return list(utf8(text))

    def cut(self, text: str, at: int) -> int:
        """Anywhere will do."""
        return min(at, len(text))

    def to_json(self) -> dict[str, Any]:
        """The kind is everything."""
        return {"kind": "byte"}


def make_tokenizer(
    tokens: str, text: str, normalize: str = "none", lowercase: bool = False, spelled: bool = True
) -> Tokenizer:
    """The tokenizer that ``--tokens`` names, for this text. UsageError if there is none of that name.

    A vocabulary is that of the whole corpus, its validation part included, so that no character of it is left out of
    the validation loss. ``spelled`` is that of words: see ``checkpoints.words``.
    """
    kind, size = check_tokens(tokens)
    if normalize == "none" and not lowercase:
        return _trained(kind, size, text, spelled)
    from checkpoints.normalization import NormalizingTokenizer, normalized

    inner = _trained(kind, size, normalized(text, normalize, lowercase), spelled)
    return NormalizingTokenizer(inner, normalize, lowercase)


def check_tokens(tokens: str) -> tuple[str, int]:
    """Kind and vocabulary size, 0 for the kind's own, that ``--tokens`` asks for. UsageError if it is none."""
    kind, colon, number = tokens.partition(":")
    if tokens in ("char", "byte", "word"):
        return kind, 0
    sizes = {"bpe": (len(BYTES) + 1, LARGEST_BPE), "word": (2, LARGEST_WORDS)}
    if kind not in sizes or not colon:
        raise UsageError(f"tokens must be char, byte, bpe:N, word or word:N, not {tokens!r}")
    low, high = sizes[kind]
    if not (number.isascii() and number.isdigit() and len(number) < 10 and low <= int(number) <= high):
        raise UsageError(f"tokens {kind}:N needs a whole number N from {low} to {high}, not {number!r}")
    return kind, int(number)


def tokens_option(described: Mapping[str, Any]) -> str:
    """What ``--tokens`` gives a tokenizer like the one that a checkpoint describes: its kind, with its size."""
    tokenizer = tokenizer_from_json(described)
    return f"{tokenizer.kind}:{tokenizer.vocabulary_size}" if tokenizer.kind in ("bpe", "word") else tokenizer.kind


def _trained(kind: str, size: int, text: str, spelled: bool) -> Tokenizer:
    if kind == "char":
        return CharTokenizer(set(text))
    if kind == "byte":
        return ByteTokenizer()
    if kind == "bpe":
        from checkpoints.bpe import BpeTokenizer

        return BpeTokenizer.train(text, size)
    from checkpoints.words import DEFAULT_WORDS, WordTokenizer

    return WordTokenizer.train(text, size or DEFAULT_WORDS, spelled)


def tokenizer_from_json(data: Any) -> Tokenizer:
    """The tokenizer that a checkpoint describes; CelloquyError if the description is damaged."""
    if not isinstance(data, Mapping):
        raise CelloquyError("the vocabulary is damaged: it is not a JSON object")
    if "normalize" not in data and "lowercase" not in data:
        return _plain_from_json(data)
    from checkpoints.normalization import FORMS, KEYS, NormalizingTokenizer

    form, lowercase = (data.get(key) for key in KEYS)
    if form not in FORMS or not isinstance(lowercase, bool):
        raise CelloquyError("the vocabulary is damaged: how its texts are normalised is not understood")
    inner = {key: value for key, value in data.items() if key not in KEYS}
    return NormalizingTokenizer(_plain_from_json(inner), str(form), lowercase)


def _plain_from_json(data: Mapping[str, Any]) -> Tokenizer:
    kind = data.get("kind")
    if kind == "byte" and len(data) == 1:
        return ByteTokenizer()
    if kind == "char" and data.keys() == {"kind", "characters"}:
        characters = data["characters"]
        if isinstance(characters, str) and characters and "".join(sorted(set(characters))) == characters:
            return CharTokenizer(characters)
        raise CelloquyError("the vocabulary is damaged: its characters are not in order, or stand twice")
    if kind == "bpe":
        from checkpoints.bpe import BpeTokenizer

        return BpeTokenizer.from_json(data)
    if kind == "word":
        from checkpoints.words import WordTokenizer

        return WordTokenizer.from_json(data)
    raise CelloquyError(f"tokenizer {kind!r} is not understood; this version knows char, byte, bpe and word")


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The UTF-8 of every token by its id; b"" for the unknown one."""
    from checkpoints.normalization import NormalizingTokenizer

    if isinstance(tokenizer, NormalizingTokenizer):
        return token_bytes(tokenizer.inner)
    if isinstance(tokenizer, ByteTokens):
        return list(tokenizer.tokens)
    texts = (tokenizer.decode((id,)) for id in range(tokenizer.vocabulary_size))
    return [b"" if id == tokenizer.unknown_id else utf8(text) for id, text in enumerate(texts)]


def cut(text: str, at: int) -> int:
    """The last place up to ``at``, but not 0, before a space or line break and after no white space; else ``at``.

    No word, no token of bytes and no normalised character stands across such a place, so that a text may be read in
    the two parts.
    """
    if at >= len(text):
        return len(text)
    for place in range(at, 0, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return at


def pieces(text: str, size: int, cut: Callable[[str, int], int]) -> Iterator[str]:
    """A text in parts of at most ``size`` characters, cut where ``cut`` says; the same ones every time."""
    start = 0
    while len(text) - start > size:
        end = start + cut(text[start : start + size + 1], size)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def library_pieces(text: str) -> Iterator[str]:
    """A text as the ``tokenizers`` library takes it: without lone surrogates, and not too much of it at once."""
    return pieces(utf8(text).decode("utf-8"), PIECE, cut)


def utf8(text: str) -> bytes:
    """UTF-8, where a lone surrogate becomes U+FFFD."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")


def _code_points(text: str) -> NDArray[numpy.uint32]:
    import numpy

    return numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
