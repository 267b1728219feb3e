"""Scoring a text: the mean surprise of a model, over its whole length, unbroken. Training validates with the same code.

A recurrent model reads a text from its first token to its last, and one row at a time is slow. Here the text is cut
into rows that are read side by side, twice: the first time each row begins without a past; the second time it begins
with the state in which the row before it ended, and is read until its losses no longer differ from the first reading's.
Every token is thus scored with the text before it, at least a whole row of it, which for these purposes is all of it:
a test holds the result to that of a single row. A text of one row is scored exactly so.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cells.errors import CelloquyError
from cells.model import LanguageModel, ModelConfig
from cells.state import State, select, stack
from checkpoints.batches import LET_GO_EVERY, Tokens
from checkpoints.device import choose_threads
from checkpoints.token_cache import let_go
from checkpoints.trial import reading_trial

if TYPE_CHECKING:
    from checkpoints.loading import Loaded

ROW = 1024
"""Tokens that a row has at least, if there is more than one."""

MOST_ROWS = 64
SPAN = 128
"""Tokens that every row reads between two looks at whether the second reading still differs from the first."""

SETTLED = 1e-4
"""Mean difference, in nats a token over a span, below which the second reading agrees with the first."""

LOGITS_AT_ONCE = 1 << 22
WORTH_MEASURING = 20_000
"""Tokens from which on measuring threads costs little beside the reading."""

IGNORED = -100

KEPT = 1 << 24
"""Losses of the first reading that are kept, to see where the second one no longer differs."""


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
    with measured_threads(loaded.model, len(tokens)):
        score = score_tokens(loaded.model, tokens)
    return {
        "tokens": score.tokens,
        "characters": len(text),
        "nats_per_token": score.mean,
        "bits_per_character": bits_per_character(score.mean, len(tokens), len(text)),
        "perplexity": perplexity(score.mean),
        "unknown": loaded.tokenizer.unknown_characters(text),
    }


@contextlib.contextmanager
def measured_threads(model: LanguageModel, tokens: int) -> Iterator[None]:
    """While entered, the number of threads that reads fastest, if there is enough to read to measure it."""
    before = torch.get_num_threads()
    if tokens >= WORTH_MEASURING:
        trial = reading_trial(model, _row_count(tokens), 16)
        torch.set_num_threads(choose_threads("auto", model.readout.bias.device, trial))
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    with _exact(model):
        score = _read_twice(model, Rows(tokens, model.config, model.readout.bias.device))
    if score.tokens == 0:
        raise CelloquyError("the checkpoint knows no character of this text after the first, so there is no score")
    return score


@torch.no_grad()
def token_losses(model: LanguageModel, tokens: Tokens) -> NDArray[numpy.float32]:
    """The surprise of each of ``tokens`` [N] but the first, in nats [N - 1], read as :func:`score_tokens` does.

    What is unknown has 0. For a text of two rows or more; a shorter one gains nothing by being read so.
    """
    rows = Rows(tokens, model.config, model.readout.bias.device)
    spans: list[Tensor] = []
    with _exact(model):
        _read_twice(model, rows, spans)
    losses: NDArray[numpy.float32] = torch.cat(spans).t().reshape(-1)[: rows.scored].cpu().numpy()
    return losses


@contextlib.contextmanager
def _exact(model: LanguageModel) -> Iterator[None]:
    """While entered, evaluation mode and full precision."""
    was_training, dtype = model.training, model.compute_dtype
    model.eval()
    model.compute_dtype = None
    try:
        yield
    finally:
        model.compute_dtype = dtype
        model.train(was_training)


def _row_count(tokens: int) -> int:
    return max(1, min(MOST_ROWS, tokens // ROW))


class Rows:
    """A text cut into rows that are read side by side: ``count`` rows of ``length`` steps, the last one padded."""

    def __init__(self, tokens: Tokens, config: ModelConfig, device: torch.device) -> None:
        self.tokens = tokens
        self.config = config
        self.device = device
        self.scored = len(tokens) - 1
        self.count = _row_count(self.scored)
        self.length = -(-self.scored // self.count)

    def span(self, place: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [S, B] of the SPAN steps from ``place`` on; IGNORED marks unknown targets and padding."""
        steps = numpy.arange(place, min(place + SPAN, self.length), dtype=numpy.int64)
        at = steps[:, None] + self.length * numpy.arange(self.count, dtype=numpy.int64)
        there = at < self.scored
        at[~there] = 0
        inputs = numpy.asarray(self.tokens[at], dtype=numpy.int64)
        targets = numpy.asarray(self.tokens[at + 1], dtype=numpy.int64)
        if self.config.labels:
            targets %= self.config.vocabulary_size  # what is foretold is the token, not its label
        targets[~there] = IGNORED
        if self.config.unknown_id is not None:
            targets[targets == self.config.unknown_id] = IGNORED
        return torch.from_numpy(inputs).to(self.device), torch.from_numpy(targets).to(self.device)


def _read_twice(model: LanguageModel, rows: Rows, spans: list[Tensor] | None = None) -> Score:
    """The score of all rows. The losses of the first reading are kept for as long as memory allows (KEPT).

    ``spans``, if given, is filled with the losses [S, B] of each span.
    """
    start = model.initial_state(rows.count)
    state = start
    kept: list[Tensor] = []
    sums: list[Tensor] = []
    counted = 0
    for place in range(0, rows.length, SPAN):
        losses, known, state = _losses(model, *rows.span(place), state)
        counted += known
        sums.append(losses.double().sum())
        if spans is not None:
            spans.append(losses)
        if (len(kept) + 1) * losses.numel() <= KEPT:
            kept.append(losses)
        if len(sums) % LET_GO_EVERY == 0:
            let_go(rows.tokens)
    if rows.count > 1:
        state = stack([select(start, [0]), select(state, range(rows.count - 1))])
        for number, place in enumerate(range(0, rows.length, SPAN)):
            losses, _, state = _losses(model, *rows.span(place), state)
            sums[number] = losses.double().sum()
            if spans is not None:
                spans[number] = losses
            if number < len(kept) and float((losses - kept[number]).abs().mean()) < SETTLED:
                break
    return Score(float(torch.stack(sums).sum()), counted)


def _losses(model: LanguageModel, inputs: Tensor, wanted: Tensor, state: State) -> tuple[Tensor, int, State]:
    """The losses [S, B], 0 where ignored, how many are not, and the state after; logits are made a piece at a time."""
    hidden, state = model.hidden(inputs, state)
    piece = max(1, LOGITS_AT_ONCE // (inputs.shape[1] * model.config.vocabulary_size))
    losses = []
    for at in range(0, len(wanted), piece):
        logits = model.read(hidden[at : at + piece]).float()
        part = wanted[at : at + piece]
        flat = F.cross_entropy(logits.flatten(0, 1), part.flatten(), ignore_index=IGNORED, reduction="none")
        losses.append(flat.view(part.shape))
    return torch.cat(losses), int((wanted != IGNORED).sum()), state
