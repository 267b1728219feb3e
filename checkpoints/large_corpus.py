"""A corpus too large to be held in memory: surveyed once, encoded once, both kept for the next run."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from cells.errors import CelloquyError
from checkpoints.batches import parts_of
from checkpoints.corpus import Corpus, CorpusFile, read_corpus
from checkpoints.normalization import NormalizingTokenizer
from checkpoints.shown import plain
from checkpoints.text_stream import StreamedFile, cut_well, pieces, streamed_files
from checkpoints.token_cache import CachedTokens, keep_note, kept_note, kept_tokens, key, small_dtype, written_tokens
from checkpoints.tokenizers import ByteTokenizer, Tokenizer, make_tokenizer, tokenizer_from_json

LARGE = 32 << 20
"""Bytes from which on a corpus is not read whole."""

SAMPLE = 32 << 20
"""Characters from the beginning, from which a vocabulary of words or byte pairs is learned."""


class LargeCorpus:
    """Text files that are read piece by piece. What is learned of them in a first pass is kept in the cache.

    ``fingerprint`` is the SHA-256 of the text in UTF-8, as for a corpus in memory; ``letters`` are its distinct
    characters.
    """

    def __init__(self, files: list[StreamedFile], encoding: str, errors: str, note: Callable[[str], None]) -> None:
        self.files = tuple(CorpusFile(plain(file.path.name, 200), file.bytes) for file in files)
        self._files = files
        self._reading = (encoding, errors)
        self._note = note
        survey = self._survey()
        self.fingerprint: str = survey["fingerprint"]
        self.characters: int = survey["characters"]
        self.letters: str = survey["letters"]

    def _pieces(self) -> Iterator[str]:
        return pieces(self._files, *self._reading)

    def _survey(self) -> dict[str, Any]:
        """Fingerprint, number of characters, and which there are: as kept for these very files, or found now."""
        name = key("survey", [list(file.identity) for file in self._files], self._reading)
        kept = kept_note(name)
        if isinstance(kept, dict) and kept.keys() == {"fingerprint", "characters", "letters"}:
            return kept
        size = sum(file.bytes for file in self.files)
        self._note(f"reading {size / 1e6:,.0f} MB of text; the next run with it starts at once")
        digest, characters, letters = hashlib.sha256(), 0, Letters()
        for text in self._pieces():
            digest.update(text.encode("utf-8"))
            characters += len(text)
            letters.add(text)
        if not characters:
            raise CelloquyError(f"{self._files[0].path}: the file is empty; a corpus needs text")
        found = {"fingerprint": digest.hexdigest(), "characters": characters, "letters": letters.text()}
        keep_note(name, found)
        return found

    def tokenizer(self, tokens: str, normalize: str = "none", lowercase: bool = False) -> Tokenizer:
        """What ``make_tokenizer`` makes of this text, once: words and byte pairs are learned from its beginning."""
        name = key("tokenizer", self.fingerprint, tokens, normalize, lowercase)
        kept = kept_note(name)
        if kept is not None:
            with contextlib.suppress(CelloquyError):
                return tokenizer_from_json(kept)
        made = make_tokenizer(tokens, self._sample(tokens, normalize, lowercase), normalize, lowercase)
        keep_note(name, made.to_json())
        return made

    def _sample(self, tokens: str, normalize: str, lowercase: bool) -> str:
        letters = self.letters
        if normalize != "none" or lowercase:
            reader = NormalizingTokenizer(ByteTokenizer(), normalize, lowercase)
            seen = Letters()
            for text in cut_well(self._pieces(), reader.cut):
                seen.add(reader.normalized(text))
            letters = seen.text()
        apart = next((letter for letter in " \n" if letter in letters), "")  # or normalising would join some of them
        if tokens in ("char", "byte"):
            return apart.join(letters)
        beginning, left = [], SAMPLE
        for text in self._pieces():
            beginning.append(text[:left])
            left -= len(beginning[-1])
            if left == 0:
                break
        return "".join(beginning) + apart.join(letters)

    def encoded(self, tokenizer: Tokenizer, fraction: float) -> tuple[CachedTokens, int]:
        """Both parts as tokens, and the characters of the validation part: its last ``fraction``.

        The first time they are encoded, which takes about ten seconds a gigabyte for characters.
        """
        cut = parts_of(self.characters, fraction)
        name = key("tokens", self.fingerprint, tokenizer.to_json(), cut)
        tokens = kept_tokens(name)
        if tokens is None:
            dtype = small_dtype(tokenizer.vocabulary_size)
            tokens = written_tokens(name, dtype, lambda: self._encoded_parts(tokenizer, cut))
        return tokens, self.characters - cut

    def _encoded_parts(self, tokenizer: Tokenizer, cut: int) -> Iterator[Iterable[Any]]:
        """The two parts, to be read one after the other. CelloquyError if the text has changed since the survey."""
        digest = hashlib.sha256()
        texts, rest = self._hashed(digest), []

        def before() -> Iterator[str]:
            left = cut
            for text in texts:
                yield text[:left]
                if len(text) >= left:
                    rest.append(text[left:])
                    return
                left -= len(text)

        for part in (before(), itertools.chain(iter(rest), texts)):
            yield (tokenizer.encode_array(text) for text in cut_well(part, tokenizer.cut))
        if digest.hexdigest() != self.fingerprint:
            raise CelloquyError("the corpus changed while it was being read; start again when it stays as it is")

    def _hashed(self, digest: Any) -> Iterator[str]:
        for text in self._pieces():
            digest.update(text.encode("utf-8"))
            yield text


class Letters:
    """The distinct characters of a text that comes in pieces."""

    def __init__(self) -> None:
        self._ascii = numpy.zeros(256, dtype=bool)
        self._others: set[str] = set()

    def add(self, text: str) -> None:
        """Take in a piece."""
        if text.isascii():
            self._ascii[numpy.frombuffer(text.encode("ascii"), dtype=numpy.uint8)] = True
        else:
            self._others |= set(text)

    def text(self) -> str:
        """The characters in order of their code points."""
        return "".join(sorted({chr(code) for code in numpy.flatnonzero(self._ascii)} | self._others))


def open_corpus(
    paths: Sequence[str | Path], encoding: str, errors: str, note: Callable[[str], None]
) -> Corpus | LargeCorpus:
    """The corpus in these files: read whole if it is small, or if it can only be read once."""
    files = streamed_files(paths, encoding)
    if files is None or sum(file.bytes for file in files) < LARGE:
        return read_corpus(paths, encoding, errors)
    return LargeCorpus(files, encoding, errors, note)
