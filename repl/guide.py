"""Holding what is drawn to a pattern: which tokens may come, so that the text can still match in the tokens left."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cells.errors import CelloquyError
from plugins.vocabulary import Vocabulary
from repl.pattern import DEAD, byte_automaton

START = 1
KEPT = 1 << 22
"""Next states that are kept, of all states together: 16 MB."""

FAR = 1 << 30
"""Tokens from a state that no number of tokens takes to a match."""


class Guide:
    """A pattern for one vocabulary. A place is a whole number, :data:`START` before any token.

    ``banned`` tokens are never allowed. Raises UsageError for a pattern that is none, and CelloquyError if no text of
    this vocabulary matches it.
    """

    def __init__(self, pattern: str, vocabulary: Vocabulary, banned: Sequence[int] = ()) -> None:
        self.pattern = pattern
        self._automaton = byte_automaton(pattern)
        self._bytes, self._order, self._lengths = _matrix(vocabulary.encoded, banned)
        self._size = len(vocabulary.encoded)
        self._rows: OrderedDict[int, NDArray[np.int32]] = OrderedDict()
        self._distances = self._measure()
        if self._distances[START] >= FAR:
            raise CelloquyError(f"no text that this checkpoint can write matches the pattern {pattern[:60]!r}")

    def check(self, length: int | None) -> None:
        """CelloquyError if no text of at most ``length`` tokens matches."""
        fewest = int(self._distances[START])
        if length is not None and fewest > length:
            raise CelloquyError(
                f"the pattern {self.pattern[:60]!r} needs at least {fewest} tokens; give --length {fewest} or more"
            )

    def allowed(self, place: int, left: int | None) -> NDArray[np.bool_]:
        """The tokens [V] after which a match can be reached, where ``left`` tokens may be drawn (None: any number)."""
        distances = self._distances[self._after(place)]
        most = FAR - 1 if left is None else min(left, FAR) - 1
        fits: NDArray[np.bool_] = distances <= most
        return fits

    def over(self, place: int, left: int | None) -> bool:
        """Whether the text ends here: it matches, and no token can follow after which it could match again."""
        return left == 0 or (bool(self._automaton.accepts[place]) and not self.allowed(place, left).any())

    def advance(self, place: int, token: int) -> int:
        """The place after a token; CelloquyError if the pattern does not allow it."""
        after = int(self._after(place)[token])
        if after == DEAD:
            raise CelloquyError("a sampler drew a token that the pattern does not allow")
        return after

    def _after(self, place: int) -> NDArray[np.int32]:
        """The place after each token [V]."""
        if place in self._rows:
            self._rows.move_to_end(place)
            return self._rows[place]
        states = np.full(len(self._order), place, dtype=np.int32)
        for column, count in enumerate(self._lengths):  # the tokens that have so many bytes stand first
            states[:count] = self._automaton.table[states[:count], self._bytes[:count, column]]
        row = np.zeros(self._size, dtype=np.int32)
        row[self._order] = states
        while self._rows and (len(self._rows) + 1) * self._size > KEPT:
            self._rows.popitem(last=False)
        self._rows[place] = row
        return row

    def _measure(self) -> NDArray[np.int64]:
        """For every place that can be reached, the fewest tokens to a match."""
        before: dict[int, list[int]] = {START: []}
        waiting = [START]
        while waiting:
            place = waiting.pop()
            for after in np.unique(self._after(place)).tolist():
                if after == DEAD:
                    continue
                if after not in before:
                    before[after] = []
                    waiting.append(after)
                before[after].append(place)
        distances = np.full(len(self._automaton.table), FAR, dtype=np.int64)
        wave = [place for place in before if self._automaton.accepts[place]]
        distances[wave] = 0
        steps = 0
        while wave:
            steps += 1
            wave = [one for place in wave for one in before[place] if distances[one] == FAR]
            wave = list(dict.fromkeys(wave))
            distances[wave] = steps
        return distances


def _matrix(tokens: Sequence[bytes], banned: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[int]]:
    """The bytes of the tokens [N, L], longest first, their ids [N], and how many have a byte in each column."""
    never = set(banned)
    order = [id for id in sorted(range(len(tokens)), key=lambda id: -len(tokens[id])) if tokens[id] and id not in never]
    longest = len(tokens[order[0]]) if order else 0
    matrix = np.zeros((len(order), longest), dtype=np.uint8)
    for row, id in enumerate(order):
        matrix[row, : len(tokens[id])] = np.frombuffer(tokens[id], dtype=np.uint8)
    lengths = np.array([len(tokens[id]) for id in order])
    return matrix, np.array(order, dtype=np.int64), [int((lengths > column).sum()) for column in range(longest)]
