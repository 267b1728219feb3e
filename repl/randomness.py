"""Random numbers by counting: the n-th number of a stream is a pure function of (seed, sample, n).

Nothing is consumed, so going back in a text, branching it, or writing many samples in one batch needs no generator
state: a place in the stream is three whole numbers. The mixing is SplitMix64's finaliser (Steele, Lea and Flood 2014).
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(word: int) -> int:
    """SplitMix64's output function: a bijection of 64-bit words in which every input bit moves every output bit."""
    word = (word + _GOLDEN) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


@functools.lru_cache(maxsize=1024)
def stream_key(seed: int, sample: int) -> int:
    """The 64-bit key of one stream. ``seed`` is a whole number from 0, of any size."""
    key = 0
    while True:
        key = _mix(key ^ (seed & _MASK))
        seed >>= 64
        if seed <= 0:
            return _mix(key ^ sample)


def keyed_uniform(key: int, index: int) -> float:
    """Number ``index`` of the stream with this key: a multiple of 2^-53 in [0, 1)."""
    return (_mix(key ^ _mix(index)) >> 11) * 2.0**-53


def uniform(seed: int, sample: int, index: int) -> float:
    """Number ``index`` of stream (``seed``, ``sample``), in [0, 1)."""
    return keyed_uniform(stream_key(seed, sample), index)


def keyed_uniforms(keys: Sequence[int] | NDArray[np.uint64], index: int) -> NDArray[np.float64]:
    """:func:`keyed_uniform` of several streams at the same index."""
    return _uniforms(np.asarray(keys, dtype=np.uint64) ^ np.uint64(_mix(index)))


def uniform_table(keys: NDArray[np.uint64], index: int, count: int) -> NDArray[np.float64]:
    """:func:`keyed_uniforms` at ``count`` indices from ``index`` on, [count, B]."""
    return _uniforms(keys ^ _mix_all(np.arange(index, index + count, dtype=np.uint64))[:, None])


def uniforms_from(key: int, index: int, count: int) -> NDArray[np.float64]:
    """:func:`keyed_uniform` of one stream at ``count`` places from ``index`` on."""
    return _uniforms(np.uint64(key) ^ _mix_all(np.arange(index, index + count, dtype=np.uint64)))


def _uniforms(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = (_mix_all(words) >> np.uint64(11)) * 2.0**-53
    return numbers


def _mix_all(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """:func:`_mix` of every word [N]; numpy's own arithmetic of 64-bit words wraps round."""
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed


def random_seed() -> int:
    """A fresh seed from the system's entropy, short enough to type again."""
    return secrets.randbelow(1 << 32)


class Randomness(NamedTuple):
    """A place in a stream of random numbers: seed, number of the sample, how many were used."""

    seed: int
    sample: int = 0
    counter: int = 0

    @property
    def value(self) -> float:
        """The number at this place, in [0, 1)."""
        return uniform(self.seed, self.sample, self.counter)

    def at(self, counter: int) -> Randomness:
        """Another place of the same stream."""
        return Randomness(self.seed, self.sample, counter)

    def next(self) -> Randomness:
        """The place after this one."""
        return Randomness(self.seed, self.sample, self.counter + 1)
