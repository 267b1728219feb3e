"""Splitting a corpus, and the sequential batches that training reads. Tokens are time-major, [T, B]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from cells.errors import CelloquyError
from checkpoints.token_cache import let_go

Tokens = NDArray[numpy.integer[Any]]
LET_GO_EVERY = 256
"""Batches between two times at which mapped tokens that were read give their memory back."""


def split_text(text: str, fraction: float) -> tuple[str, str]:
    """The training part and, unbroken, the last ``fraction`` of the characters: the validation part.

    Raises CelloquyError if a part would have fewer than two characters: one to read and one to foretell.
    """
    cut = parts_of(len(text), fraction)
    return text[:cut], text[cut:]


def parts_of(characters: int, fraction: float) -> int:
    """Where a text of so many characters is split. Raises CelloquyError as :func:`split_text` does."""
    cut = int(characters * (1 - fraction)) if fraction > 0 else characters
    left = characters - cut
    if cut < 2 or (fraction > 0 and left < 2):
        advice = "a longer corpus is needed" if fraction == 0 else "give a longer corpus or another --val"
        raise CelloquyError(f"the corpus is too small: {cut} characters to train on and {left} to validate; {advice}")
    return cut


@dataclass(frozen=True)
class BatchSize:
    """Rows and steps of a batch, and a remark if the corpus made them smaller than asked."""

    batch: int
    bptt: int
    remark: str = ""


def fitting_batch(tokens: int, batch: int, bptt: int, shares: int = 1) -> BatchSize:
    """The largest batch up to [bptt, batch] in which no two rows read the same token at the same time.

    First there are fewer rows, still ``shares`` of equal size; if these are still too long, they are shortened. Raises
    CelloquyError if there are too few tokens even so.
    """
    if tokens <= shares:
        raise CelloquyError(f"the corpus has only {tokens} tokens to train on, too few for {shares} processes")
    rows = max(shares, min(batch, tokens // bptt) // shares * shares)
    steps = min(bptt, (tokens - 1) // shares) if rows == shares else bptt
    if (rows, steps) == (batch, bptt):
        return BatchSize(batch, bptt)
    shrunk = f"batch {batch} became {rows}" + (f" and bptt {bptt} became {steps}" if steps != bptt else "")
    return BatchSize(rows, steps, f"the corpus has only {tokens} tokens to train on: {shrunk}")


class SequentialBatches:
    """Batches in which every row reads on where it stopped, so that a carried state is always the right one.

    The text is a ring: row b of B starts at token b N / B, and all rows read around it for ever. A row therefore
    reaches the next row's start with the state of the text before it, no token is left out, and each round cuts the
    text at other places. ``rows`` picks some of the B rows: the share of one process.

    The whole position is :attr:`read`, the number of tokens each row has read so far: setting it resumes.
    """

    def __init__(self, tokens: Tokens, batch: int, bptt: int, rows: range | None = None) -> None:
        if len(tokens) < 2:
            raise CelloquyError("a corpus of fewer than two tokens cannot be trained on")
        self.tokens = tokens
        self.batch = batch
        self.bptt = bptt
        self.read = 0
        length = len(tokens)
        self.rows = range(batch) if rows is None else rows
        self._starts = numpy.array([row * length // batch for row in self.rows], dtype=numpy.int64)
        self._offsets = numpy.arange(bptt + 1, dtype=numpy.int64)[:, None]

    @property
    def tokens_a_step(self) -> int:
        """Tokens foretold in one step by all rows."""
        return self.batch * self.bptt

    @property
    def epochs(self) -> float:
        """How often the corpus has been read so far."""
        return self.read * self.batch / len(self.tokens)

    def steps(self, epochs: float) -> int:
        """How many batches read the corpus so often, at least one."""
        return max(1, round(epochs * len(self.tokens) / self.tokens_a_step))

    def next(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [T, B] each; a target is the token after its input."""
        places = (self._starts + (self._offsets + self.read)) % len(self.tokens)
        return self._window(places)

    def _window(self, places: NDArray[numpy.int64]) -> tuple[Tensor, Tensor]:
        """The tokens at these places [T + 1, B] as inputs and targets."""
        window = torch.from_numpy(numpy.asarray(self.tokens[places], dtype=numpy.int64))
        self.read += self.bptt
        if self.read // self.bptt % LET_GO_EVERY == 0:
            let_go(self.tokens)
        return window[:-1], window[1:]
