"""Scoring a text: the mean surprise of a model, over its whole length, unbroken. Training validates with the same code.

A recurrent model reads a text from its first token to its last, and one row at a time is slow. Here the text is cut
into rows that are read side by side: the first time each row begins without a past; then it begins again with the state
in which the row before it ended, and is read until its losses no longer differ from the first reading's. If they differ
to its end, the row after it is read once more. Every token is thus scored with the text before it, at least a whole row
of it, which for most models is all of it: a test holds the result to that of a single row. A text of one row is
scored exactly so. But there are models that, begun in the midst of a text, never find into it: they foretell nonsense
with great confidence, for as long as one reads. So a row after one that a better beginning changed much is read again,
however often that was done before.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cells.errors import CelloquyError
from cells.model import LanguageModel
from cells.state import State, select, stack
from checkpoints.batches import LET_GO_EVERY, Tokens
from checkpoints.rows import IGNORED, Rows, SideBySide, beginning, exact
from checkpoints.token_cache import let_go

if TYPE_CHECKING:
    from checkpoints.loading import Loaded

SETTLED = 1e-4
"""Mean difference, in nats a token over a span, below which a row's reading agrees with the one before; no token may
differ by ten times as much."""

READINGS = 3
"""How often a row is read at most, unless the one before it is ``FAR_APART`` from what it was. Two are enough unless a
row's beginning is felt beyond its end."""

FAR_APART = 0.5
"""Mean difference, in nats a token over a span, that is more than a chaotic state makes of a rounding."""

MOST_WORK = 16
"""Readings of the whole text after which no row is read again."""

LOGITS_AT_ONCE = 1 << 22
KEPT = 1 << 24
"""Losses that are kept, to see where another reading no longer differs."""

Ends = tuple[list[int], State]
"""Rows that were read to their end, and the states there."""


@dataclass(frozen=True)
class Score:
    """The sum of -log p over the scored tokens, in nats, and how many they are."""

    nats: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.nats / self.tokens


def evaluate(loaded: Loaded, text: str) -> dict[str, Any]:
    """Score a text with a checkpoint.

    The first token is read and not scored: nothing comes before it. Characters outside the vocabulary are read as
    unknown and not counted; ``unknown`` lists them. Raises CelloquyError if nothing is left to score.
    """
    tokens = loaded.tokenizer.encode_array(text)
    score = score_tokens(loaded.model, tokens)
    return {
        "tokens": score.tokens,
        "characters": len(text),
        "nats_per_token": score.mean,
        "bits_per_character": bits_per_character(score.mean, len(tokens), len(text)),
        "perplexity": perplexity(score.mean),
        "unknown": loaded.tokenizer.unknown_characters(text),
    }


def bits_per_character(nats_per_token: float, tokens: int, characters: int) -> float:
    """A mean in nats a token as bits a character, for a text of so many tokens and characters."""
    return nats_per_token / math.log(2) * tokens / characters


def perplexity(nats_per_token: float) -> float:
    """exp of the mean, or the largest number there is where that overflows."""
    return math.exp(min(nats_per_token, 709.0))


@torch.no_grad()
def score_tokens(model: LanguageModel, tokens: Tokens) -> Score:
    """The score of ``tokens`` [N] in float32, the model in evaluation mode; its mode is restored.

    Raises CelloquyError if there are fewer than two tokens, or none that is known after the first.
    """
    if len(tokens) < 2:
        raise CelloquyError("the text is too short to score: it needs two characters, one to read and one to foretell")
    rows = Rows(tokens, model.config, model.readout.bias.device)
    with exact(model):
        reading = _Reading(model, rows, min(rows.length, KEPT // rows.count))
        reading.read(model.initial_state(1))
    score = Score(float(reading.sums.sum()), int(reading.known.sum()))
    if score.tokens == 0:
        raise CelloquyError("the checkpoint knows no character of this text after the first, so there is no score")
    return score


@torch.no_grad()
def token_losses(model: LanguageModel, tokens: Tokens, start: State | None = None) -> NDArray[numpy.float32]:
    """The surprise of each of ``tokens`` [N] but the first, in nats [N - 1], read as :func:`score_tokens` does.

    What is unknown has 0. ``start``, a state of one row, is where the text begins; what steers it steers every row.
    For a text of two rows or more; a shorter one gains nothing by being read so.
    """
    rows = Rows(tokens, model.config, model.readout.bias.device)
    with exact(model):
        reading = _Reading(model, rows, rows.length)
        reading.read(model.initial_state(1) if start is None else start)
    losses: NDArray[numpy.float32] = reading.losses.t().reshape(-1)[: rows.scored].cpu().numpy()
    return losses


class _Reading:
    """The losses of all rows, from the readings so far.

    ``sums`` and ``known`` [spans, rows] are those of a span and how many tokens it scores; ``losses`` [kept, rows] are
    kept of the first steps only, to see where another reading no longer differs.
    """

    def __init__(self, model: LanguageModel, rows: Rows, kept: int) -> None:
        self._model = model
        self._rows = rows
        self._kept = kept
        self.sums = numpy.zeros((rows.span_count, rows.count))
        self.known = numpy.zeros((rows.span_count, rows.count), dtype=numpy.int64)
        self.losses = torch.zeros(kept, rows.count)
        self._far = numpy.zeros(rows.count, dtype=bool)  # whether a row's last reading was far from the one before
        self._side_by_side = SideBySide(model, rows.scored)

    def read(self, start: State) -> None:
        """Read the rows, the first one from ``start`` [1], until each begins as the one before it ends."""
        rows = list(range(self._rows.count))
        state = stack([start, *[beginning(self._model, start)] * (len(rows) - 1)])
        work = 0
        for reading in itertools.count():
            read = functools.partial(self._group, reading > 0, dict(zip(rows, range(len(rows)), strict=True)), state)
            ends = self._side_by_side.each(read, self._side_by_side.groups(rows))
            work += len(rows)
            ended = [row for group, _ in ends for row in group]
            more = reading + 1 < READINGS
            followed = [
                place
                for place, row in enumerate(ended)
                if row + 1 < self._rows.count and (more or bool(self._far[row]))
            ]
            if not followed or work >= MOST_WORK * self._rows.count:
                return
            rows = [ended[place] + 1 for place in followed]
            state = select(stack([end for group, end in ends if group]), followed)

    def _group(self, again: bool, places: Mapping[int, int], state: State, group: list[int]) -> Ends:
        """Read some rows to their end, or until they no longer differ from an earlier reading; those that do."""
        state = select(state, [places[row] for row in group])
        self._far[group] = False
        for number, steps in self._rows.spans():
            inputs, wanted = self._rows.span(steps, group)
            found, state = self._losses(inputs, wanted, state)
            settled = self._settled(steps, group, found) if again and steps.stop <= self._kept else None
            sums, known = found.double().sum(0).cpu().numpy(), (wanted != IGNORED).sum(0).cpu().numpy()
            if again:
                self._far[group] |= numpy.abs(sums - self.sums[number, group]) > FAR_APART * known
            self.sums[number, group], self.known[number, group] = sums, known
            if steps.stop <= self._kept:
                self.losses[steps, group] = found.cpu()
            if settled is not None and settled.any():
                left = numpy.flatnonzero(~settled).tolist()
                group, state = [group[place] for place in left], select(state, left)
            if not group or self._side_by_side.stopped.is_set():
                break
            if (number + 1) % LET_GO_EVERY == 0:
                let_go(self._rows.tokens)
        return group, state

    def _settled(self, steps: slice, group: list[int], found: Tensor) -> NDArray[numpy.bool_]:
        """Whose losses [S, B] are what they were before."""
        apart = (found.cpu() - self.losses[steps, group]).abs()
        settled: NDArray[numpy.bool_] = ((apart.mean(0) < SETTLED) & (apart.amax(0) < 10 * SETTLED)).numpy()
        return settled

    def _losses(self, inputs: Tensor, wanted: Tensor, state: State) -> tuple[Tensor, State]:
        """The losses [S, B], 0 where ignored, and the state after; logits are made a piece at a time."""
        hidden, state = self._side_by_side.read(inputs, state)
        piece = max(1, LOGITS_AT_ONCE // (inputs.shape[1] * self._model.config.vocabulary_size))
        losses = []
        for logits, part in zip(torch.split(hidden, piece), torch.split(wanted, piece), strict=True):
            flat = self._side_by_side.logits(logits).float().flatten(0, 1)
            losses.append(F.cross_entropy(flat, part.flatten(), ignore_index=IGNORED, reduction="none"))
        return torch.cat(losses).view(wanted.shape), state
