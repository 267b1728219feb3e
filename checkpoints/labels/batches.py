"""Batches of whole texts: of like length side by side, padded, and in a new order in every epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from cells.classifier import PADDING
from checkpoints.batches import Tokens
from checkpoints.tokenizers import Tokenizer

BUCKET = 50
"""Batches that are sorted by length together: little padding, and yet a batch's company changes."""


class EncodedTexts:
    """Many texts as tokens, one after the other in ``tokens`` [N]; text i is ``tokens[starts[i] : starts[i + 1]]``."""

    def __init__(self, texts: Iterable[Tokens]) -> None:
        parts = list(texts)
        self.tokens: Tokens = numpy.concatenate([*parts, numpy.zeros(0, dtype=numpy.int32)])
        self.lengths: NDArray[numpy.int64] = numpy.array([len(part) for part in parts], dtype=numpy.int64)
        self.starts = numpy.concatenate([[0], numpy.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, places: Sequence[int] | NDArray[numpy.int64]) -> Tensor:
        """The texts at ``places`` as int64 [T, B], T the longest of them, with PADDING after each text's end."""
        window = numpy.full((len(places), int(self.lengths[places].max())), PADDING, dtype=numpy.int64)
        for row, place in zip(window, places, strict=True):
            row[: self.lengths[place]] = self.tokens[self.starts[place] : self.starts[place + 1]]
        return torch.from_numpy(window.T)

    def by_length(self, size: int) -> list[NDArray[numpy.int64]]:
        """Every place once, in batches of texts of like length, from the shortest on."""
        order = numpy.argsort(self.lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]


def encoded(tokenizer: Tokenizer, text: str, longest: int) -> Tokens:
    """The tokens of a text, at least one; if they are more than ``longest`` (0: no limit), those of its two ends."""
    if longest:
        text = _ends(text, 64 * longest)
    tokens = tokenizer.encode_array(text)
    if 0 < longest < len(tokens):
        head = longest // 2
        tokens = numpy.concatenate([tokens[:head], tokens[head - longest :]])
    return tokens if len(tokens) else numpy.zeros(1, dtype=numpy.int32)


def _ends(text: str, characters: int) -> str:
    """Both ends of a text that is far longer than can count, so that no time goes into its middle."""
    return text if len(text) <= 2 * characters else text[:characters] + text[-characters:]


class TextBatches:
    """Batches of texts for ever. Each epoch is shuffled by ``seed`` and its own number, so that the whole position is
    :attr:`read`, the number of batches read so far: setting it resumes. ``rank`` of ``ranks`` processes takes every
    ``ranks``-th text of a batch."""

    def __init__(
        self, texts: EncodedTexts, labels: Sequence[int], batch: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.texts = texts
        self.labels = numpy.array(labels, dtype=numpy.int64)
        self.batch = min(batch, len(texts))
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.read = 0
        self._epoch = -1
        self._order: list[NDArray[numpy.int64]] = []

    @property
    def rows(self) -> range:
        """This process's rows of a full batch."""
        return range(self.rank, self.batch, self.ranks)

    @property
    def tokens(self) -> Tokens:
        """All tokens of the texts."""
        return self.texts.tokens

    @property
    def batches_an_epoch(self) -> int:
        """Batches that hold every text once."""
        return -(-len(self.texts) // self.batch)

    @property
    def tokens_a_step(self) -> int:
        """Tokens of a batch, on average."""
        return max(1, len(self.tokens) // self.batches_an_epoch)

    @property
    def epochs(self) -> float:
        """How often the texts have been read so far."""
        return self.read / self.batches_an_epoch

    def steps(self, epochs: float) -> int:
        """How many batches read the texts so often, at least one."""
        return max(1, round(epochs * self.batches_an_epoch))

    def next(self) -> tuple[Tensor, Tensor]:
        """Tokens [T, B], padded, and labels [B]."""
        epoch, number = divmod(self.read, self.batches_an_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        batch = self._order[number]
        places = batch[self.rank :: self.ranks] if len(batch) >= self.ranks else batch
        self.read += 1
        return self.texts.padded(places), torch.from_numpy(self.labels[places])

    def _shuffled(self, epoch: int) -> list[NDArray[numpy.int64]]:
        """The batches of an epoch: texts in random order, sorted by length within buckets, batches in random order."""
        draw = numpy.random.default_rng((self.seed, epoch))
        order = draw.permutation(len(self.texts))
        batches: list[NDArray[numpy.int64]] = []
        for start in range(0, len(order), self.batch * BUCKET):
            bucket = order[start : start + self.batch * BUCKET]
            bucket = bucket[numpy.argsort(self.texts.lengths[bucket], kind="stable")]
            batches += numpy.array_split(bucket, -(-len(bucket) // self.batch))
        return [batches[place] for place in draw.permutation(len(batches))]
