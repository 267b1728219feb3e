"""Batches of pieces drawn at random from the text, each read without a past."""

from __future__ import annotations

import numpy
from torch import Tensor

from checkpoints.batches import SequentialBatches, Tokens


class RandomBatches(SequentialBatches):
    """Batches of pieces of ``bptt`` tokens in random order: the model's state begins anew with every batch.

    Each pass cuts the text, a ring, at a new random place into pieces that do not overlap, and deals them out until
    fewer than a batch are left (the random sampling of Zhang et al., "Dive into Deep Learning", section 8.3, of 2020).
    The order depends on ``seed`` and the pass alone, so that :attr:`read` is still all that resuming needs.
    """

    def __init__(self, tokens: Tokens, batch: int, bptt: int, seed: int = 1, rows: range | None = None) -> None:
        super().__init__(tokens, batch, bptt, rows)
        self.seed = seed
        self._rows = numpy.asarray(self.rows)
        self._pieces = max(1, len(tokens) // bptt)
        self._batches = max(1, self._pieces // batch)
        self._pass = -1
        self._order = numpy.zeros(0, dtype=numpy.int64)

    def next(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [T, B] each; a target is the token after its input."""
        number, place = divmod(self.read // self.bptt, self._batches)
        if number != self._pass:
            draw = numpy.random.default_rng([self.seed, number])
            first = int(draw.integers(len(self.tokens)))
            self._order = first + self.bptt * draw.permutation(self._pieces)
            self._pass = number
        starts = self._order[(place * self.batch + self._rows) % self._pieces]
        return self._window((starts + self._offsets) % len(self.tokens))
