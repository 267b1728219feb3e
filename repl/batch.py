"""Many continuations at once: each is, to the last bit, what it would be alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cells.state import State, select, stack
from plugins.sampler import Stream
from repl.chain import Chain
from repl.guide import START, Guide
from repl.piece import Finish, Piece
from repl.randomness import keyed_uniforms, stream_key, uniform_table
from repl.sampling import Array, as_logits, surprises
from repl.stops import StopWatch
from repl.text_model import ROWS, OneThread, Position, TextModel

if TYPE_CHECKING:
    from checkpoints.tokenizers import StreamDecoder
    from plugins.entries import SamplerEntry

UNIFORMS = 64
"""Random numbers of a row that are made at once."""


@dataclass(frozen=True)
class Job:
    """One continuation to write. Samples of the same prompt and seed have different numbers."""

    prompt: str
    sample: int = 0


@dataclass(frozen=True)
class Continuation:
    """What was written for a job: ``text`` without the prompt, from ``tokens`` tokens with ``nats`` of surprise.

    ``nats`` is None if nobody asked for it.
    """

    job: Job
    seed: int
    text: str
    tokens: int
    nats: float | None
    finish: Finish

    @property
    def nats_per_token(self) -> float | None:
        """The mean surprise by the model itself; None if nothing was written, or if nobody asked for it."""
        return None if self.nats is None or not self.tokens else self.nats / self.tokens


@dataclass
class Row:
    """A continuation on the way."""

    job: Job
    stream: Stream
    decoder: StreamDecoder
    watch: StopWatch
    pieces: list[str] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    place: int = START
    ended: bool = False

    def extend(self, tokens: Sequence[int], nats: Sequence[float]) -> None:
        """Many tokens, with their surprises; those behind a stop text are left out. Without a stop text to watch for,
        surprises may be left out too."""
        if self.watch.idle:
            self.stream.history.extend(tokens)
            self.nats.extend(nats)
            self.pieces.extend(map(self.decoder.push, tokens))
            return
        for token, surprise in zip(tokens, nats, strict=True):
            self.push(token, surprise)
            if self.watch.found:
                return

    def push(self, token: int, nats: float) -> None:
        """One more token, and its surprise in nats."""
        self.stream.history.append(token)
        self.nats.append(nats)
        self.pieces.extend(self.watch.push(Piece(self.decoder.push(token), token)))

    def finished(self, seed: int, nats: bool = True) -> Continuation:
        """What there is to know of it, now that it has ended; its ``nats`` if they are asked for."""
        finish: Finish = "stop" if self.watch.found or self.ended else "length"
        if self.watch.found:
            while self.pieces and not self.pieces[-1]:
                self.pieces.pop()  # the first bytes of the stop text's first character
        else:
            self.pieces.extend(self.watch.flush())
        tokens = len(self.pieces)
        total = math.fsum(self.nats[:tokens]) if nats else None
        return Continuation(self.job, seed, "".join(self.pieces), tokens, total, finish)


def continue_all(
    model: TextModel,
    samplers: Iterable[SamplerEntry],
    values: Mapping[str, Any],
    jobs: Sequence[Job],
    length: int,
    stops: tuple[str, ...] = (),
    pattern: str | None = None,
    nats: bool = True,
) -> list[Continuation]:
    """The continuation of every job, in order. ``values`` are checked sampling values with a seed. Without ``nats``
    nothing is said of surprise, which saves a thirtieth of the time.

    With a ``pattern`` each matches it as a whole, and ends where nothing can follow; CelloquyError if none can.
    """
    guide = None if pattern is None else model.guide(pattern)
    if guide is not None:
        guide.check(length)
    chain = Chain(samplers, values, model.banned)
    done: list[Continuation] = []
    size = ROWS if len(jobs) > 1 and model.rows_agree else 1
    for start in range(0, len(jobs), size):
        rows = [
            Row(job, Stream(vocabulary=model.vocabulary), model.tokenizer.stream_decoder(), StopWatch(stops))
            for job in jobs[start : start + size]
        ]
        _write(model, chain, rows, values, length, guide, nats)
        done.extend(row.finished(values["seed"], nats) for row in rows)
    return done


def _write(
    model: TextModel,
    chain: Chain,
    rows: list[Row],
    values: Mapping[str, Any],
    length: int,
    guide: Guide | None,
    nats_asked: bool,
) -> None:
    """Draw the tokens of all rows; one that has met its stop text, or the end of its pattern, leaves the batch."""
    if length == 0:
        return
    if guide is not None and guide.over(START, length):
        for row in rows:
            row.ended = True
        return
    states, pending = begin(model, rows, values["label"], values["label_strength"])
    keys = [stream_key(values["seed"], row.job.sample) for row in rows]
    if guide is None and not chain.samplers and all(row.watch.idle for row in rows):
        _write_alike(model, chain, rows, states, pending, keys, length, nats_asked)
        return
    for index in range(length):
        with OneThread():
            logits, states = model.decoder.step(torch.tensor(pending, device=model.device), states)
        raw = model.rows(logits)
        possible = raw if guide is None else _possible(raw, rows, guide, length - index)
        tokens = chain.choose_rows(possible, [row.stream for row in rows], keyed_uniforms(keys, index))
        nats = surprises(as_logits(raw), tokens)
        pending = [int(token) for token in tokens.tolist()]
        for row, token, surprise in zip(rows, pending, nats.tolist(), strict=True):
            row.push(token, surprise)
            if chain.observes:
                chain.observe(token, surprise, row.stream)
            if guide is not None:
                row.place = guide.advance(row.place, token)
                row.ended = index + 1 < length and guide.over(row.place, length - index - 1)
        staying = [number for number, row in enumerate(rows) if not (row.watch.found or row.ended)]
        if len(staying) < len(rows):
            if not staying:
                return
            states = select(states, staying)
            rows = [rows[number] for number in staying]
            keys = [keys[number] for number in staying]
            pending = [pending[number] for number in staying]


def _write_alike(
    model: TextModel,
    chain: Chain,
    rows: list[Row],
    states: State,
    pending: list[int],
    keys: list[int],
    length: int,
    nats_asked: bool,
) -> None:
    """The same for rows of which none ends before the others and none is looked at on the way: a third faster."""
    tokens, numbers = torch.tensor(pending), np.array(keys, dtype=np.uint64)
    drawn, nats = [], []
    for index in range(length):
        if index % UNIFORMS == 0:
            uniforms = uniform_table(numbers, index, UNIFORMS)
        with OneThread():
            logits, states = model.decoder.step(tokens.to(model.device), states)
        raw = model.rows(logits)
        chosen = chain.choose_rows(raw, (), uniforms[index % UNIFORMS])
        drawn.append(chosen)
        if nats_asked:
            nats.append(surprises(as_logits(raw), chosen))
        tokens = torch.from_numpy(chosen)
    told = np.stack(nats, 1).tolist() if nats_asked else [[]] * len(rows)
    for row, column, surprise in zip(rows, np.stack(drawn, 1).tolist(), told, strict=True):
        row.extend(column, surprise)


def _possible(raw: Array, rows: Sequence[Row], guide: Guide, left: int) -> Array:
    """The logits [B, V] without the tokens that the pattern does not allow."""
    possible: Array = np.where(np.stack([guide.allowed(row.place, left) for row in rows]), raw, -np.inf)
    return possible


def begin(model: TextModel, rows: Sequence[Row], label: str | None, strength: float = 1.0) -> tuple[State, list[int]]:
    """The state and last token of each row after its prompt. A prompt is always read alone, so as to be read alike."""
    places: dict[str, tuple[Position, list[int]]] = {}
    for row in rows:
        if row.job.prompt not in places:
            places[row.job.prompt] = _read(model, row.job.prompt, label, strength)
        row.stream.history.extend(places[row.job.prompt][1])
    positions = [places[row.job.prompt][0] for row in rows]
    pending = [model.start if position.pending is None else position.pending for position in positions]
    return stack([position.state for position in positions]), pending


def _read(model: TextModel, prompt: str, label: str | None, strength: float) -> tuple[Position, list[int]]:
    position, history = model.beginning(label, strength), []
    for _, tokens in model.parts(prompt):
        position = model.read(tokens, position)
        history.extend(tokens)
    return position, history
