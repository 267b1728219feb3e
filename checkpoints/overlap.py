"""Is it memorising? The longest passages that a text has in common with a corpus. No torch.

A suffix automaton of the text (Blumer et al. 1985) reads the corpus once: exact, and linear in both. So that a corpus
of megabytes takes a second, only those stretches of it are read whose ``minimum``-grams occur in the text, which numpy
finds by hashing. Layout does not count: a run of spaces and line breaks is one of them in both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

MINIMUM = 20
"""Characters from which on a passage counts: shorter ones, common phrases, are found in any two texts of a kind."""

BREAK = "\U0010ffff"
"""Put between texts, so that no passage crosses from one into the next: a code point that no text has."""

_SPACES = re.compile(r"\s+")
_FACTOR = 0x9E3779B97F4A7C15 | 1
_WHOLE = (1 << 64) - 1


@dataclass(frozen=True)
class Passage:
    """A passage of the text that stands in the corpus, too; ``line`` of the corpus, counted from 1, for one place."""

    text: str
    line: int


@dataclass(frozen=True)
class Overlap:
    """What a text has in common with a corpus: passages of at least ``minimum`` characters, the longest first."""

    characters: int
    minimum: int
    copied: int
    passages: tuple[Passage, ...]

    @property
    def share(self) -> float:
        """The share of the text that lies in such passages."""
        return self.copied / self.characters if self.characters else 0.0

    def to_json(self) -> dict[str, Any]:
        """As ``celloquy eval --overlap --json`` prints it."""
        passages = [{"characters": len(one.text), "line": one.line, "text": one.text} for one in self.passages]
        return {
            "characters": self.characters,
            "minimum": self.minimum,
            "copied_characters": self.copied,
            "copied_share": self.share,
            "passages": passages,
        }


def overlap(texts: Sequence[str], corpus: str, minimum: int = MINIMUM, most: int = 5) -> Overlap:
    """Compare texts with a corpus; ``most`` is the number of passages that are kept, each different text once."""
    texts = [_squeezed(text) for text in texts]
    text = BREAK.join(texts)
    characters = sum(map(len, texts))
    ends = _matches(text, _squeezed(corpus).replace(BREAK, "\ufffd"), minimum)
    intervals = [
        (end - length + 1, end + 1)
        for end, length in enumerate(ends)
        if length >= minimum and (end + 1 == len(ends) or ends[end + 1] <= length)
    ]
    copied, covered = 0, 0
    for begin, end in intervals:
        copied += max(0, end - max(begin, covered))
        covered = max(covered, end)
    longest = dict.fromkeys(text[b:e] for b, e in sorted(intervals, key=lambda place: place[0] - place[1]))
    passages = [Passage(one, _line(one, corpus)) for one in _distinct(longest, most)]
    return Overlap(characters, minimum, copied, tuple(passages))


def _squeezed(text: str) -> str:
    """Every run of white space as one line break, if it has one, or one space."""
    return _SPACES.sub(lambda run: "\n" if "\n" in run[0] else " ", text)


def _line(passage: str, corpus: str) -> int:
    """The line of the corpus on which a passage of the squeezed one begins."""
    place = re.search(r"\s+".join(re.escape(word) for word in _SPACES.split(passage)), corpus)
    return corpus.count("\n", 0, place.start()) + 1 if place is not None else 0


def _distinct(passages: dict[str, None], most: int) -> list[str]:
    """The first of the passages, without those that are a part of one before."""
    kept: list[str] = []
    for passage in passages:
        if len(kept) == most:
            break
        if not any(passage in longer for longer in kept):
            kept.append(passage)
    return kept


def _matches(text: str, corpus: str, minimum: int) -> list[int]:
    """For each place in the text, the length of the longest match that ends there; right from ``minimum`` on."""
    stretches = _stretches(text, corpus, minimum)
    if not stretches:
        return [0] * len(text)
    automaton = _Automaton(text)
    for begin, end in stretches:
        automaton.read(corpus[begin:end])
    return automaton.longest_ends()


def _stretches(text: str, corpus: str, size: int) -> list[tuple[int, int]]:
    """The parts of the corpus that are made of ``size``-grams of the text (and, by a hash's accident, a few more)."""
    if len(text) < size or len(corpus) < size:
        return []
    known = numpy.unique(_hashes(text, size))
    grams = _hashes(corpus, size)
    places = known.searchsorted(grams)
    places[places == len(known)] = 0
    (hits,) = numpy.nonzero(known[places] == grams)
    if not len(hits):
        return []
    (gaps,) = numpy.nonzero(numpy.diff(hits) > size)
    begins = hits[[0, *(gaps + 1)]]
    ends = hits[[*gaps, len(hits) - 1]] + size
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _hashes(text: str, size: int) -> NDArray[numpy.uint64]:
    """A hash of each ``size``-gram [N - size + 1]: a polynomial in 64 bits, put together from powers of two."""
    codes = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(numpy.uint64)
    power = (codes + numpy.uint64(1)) * numpy.uint64(_FACTOR)
    power ^= power >> numpy.uint64(29)
    count = len(codes) - size + 1
    total = numpy.zeros(count, dtype=numpy.uint64)
    place, length = 0, 1
    while True:
        if size & length:
            total = total * numpy.uint64(pow(_FACTOR, length, _WHOLE + 1)) + power[place : place + count]
            place += length
        if place == size:
            return total
        power = power[:-length] * numpy.uint64(pow(_FACTOR, length, _WHOLE + 1)) + power[length:]
        length *= 2


class _Automaton:
    """The suffix automaton of a text; ``read`` follows another text through it and notes how far it matched."""

    def __init__(self, text: str) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._prefixes: list[int] = []
        self._best: list[int] = []
        last = 0
        for character in text:
            last = self._extend(last, character)
            self._prefixes.append(last)
        self._best = [0] * len(self._next)

    def _new(self, length: int, link: int, following: dict[str, int]) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        return len(self._next) - 1

    def _extend(self, last: int, character: str) -> int:
        current = self._new(self._length[last] + 1, 0, {})
        state = last
        while state != -1 and character not in self._next[state]:
            self._next[state][character] = current
            state = self._link[state]
        if state == -1:
            return current
        target = self._next[state][character]
        if self._length[state] + 1 == self._length[target]:
            self._link[current] = target
            return current
        clone = self._new(self._length[state] + 1, self._link[target], dict(self._next[target]))
        while state != -1 and self._next[state].get(character) == target:
            self._next[state][character] = clone
            state = self._link[state]
        self._link[target] = self._link[current] = clone
        return current

    def read(self, corpus: str) -> None:
        """Follow a stretch of the corpus from its beginning."""
        following, link, lengths, best = self._next, self._link, self._length, self._best
        state = matched = 0
        for character in corpus:
            while state and character not in following[state]:
                state = link[state]
                matched = lengths[state]
            if character in following[state]:
                state = following[state][character]
                matched += 1
                if matched > best[state]:
                    best[state] = matched

    def longest_ends(self) -> list[int]:
        """For each place in the text, the longest match that ends there."""
        order = sorted(range(1, len(self._next)), key=self._length.__getitem__)
        for state in reversed(order):  # what matched here matched every shorter end of it
            link = self._link[state]
            if self._best[state] and link > 0:
                self._best[link] = self._length[link]
        for state in order:
            self._best[state] = max(self._best[state], self._best[max(0, self._link[state])])
        return [self._best[state] for state in self._prefixes]
