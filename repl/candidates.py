"""Several answers at once, ranked by what they have to do with the question: maximum mutual information."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from cells.state import stack
from plugins.sampler import Stream
from repl.chain import Chain
from repl.randomness import keyed_uniforms, stream_key
from repl.sampling import as_logits, surprises
from repl.text_model import OneThread, TextModel

if TYPE_CHECKING:
    from checkpoints.tokenizers import StreamDecoder
    from plugins.entries import SamplerEntry
    from repl.generator import Writer

LAMBDA = 0.5
"""How much an answer's probability by itself counts against it."""


@dataclass
class Candidate:
    """An answer: its text up to the end of the turn, token by token, and its log probabilities in nats.

    ``given`` is log p(answer | everything so far), ``alone`` log p(answer) with nothing before it but its mark.
    """

    stream: Stream
    decoder: StreamDecoder
    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    surprises: list[float] = field(default_factory=list)
    alone: float = 0.0

    @property
    def text(self) -> str:
        """The answer, with the end of the turn if it came so far."""
        return "".join(self.pieces)

    @property
    def given(self) -> float:
        """The sum over its tokens."""
        return -math.fsum(self.surprises)

    @property
    def score(self) -> float:
        """log p(answer | question) - lambda log p(answer) (Li, Galley, Brockett, Gao and Dolan 2016, eq. 9)."""
        return self.given - LAMBDA * self.alone

    def push(self, token: int, surprise: float) -> None:
        """One more token."""
        self.stream.history.append(token)
        self.tokens.append(token)
        self.pieces.append(self.decoder.push(token))
        self.surprises.append(surprise)


def draw_candidates(
    writer: Writer, samplers: Iterable[SamplerEntry], count: int, length: int, end: str, mark: str
) -> list[Candidate]:
    """``count`` answers from where the writer stands, the best first; each ends with ``end`` or at ``length`` tokens.

    The conversation stays as it is; the same seed at the same place gives the same answers. ``mark`` is what stands
    before every answer.
    """
    here = writer.snapshot()
    model = here.reading.model
    chain = Chain(samplers, writer.settings.values_now, model.banned)
    candidates = [Candidate(here.reading.stream.copy(), model.tokenizer.stream_decoder()) for _ in range(max(1, count))]
    keys = [stream_key(here.randomness.seed, number + 1) for number in range(len(candidates))]
    states = stack([here.position.state] * len(candidates))
    pending = [model.start if here.position.pending is None else here.position.pending] * len(candidates)
    for index in range(here.randomness.counter, here.randomness.counter + length):
        with OneThread():
            logits, states = model.decoder.step(torch.tensor(pending, device=model.device), states)
        raw = model.rows(logits)
        tokens = chain.choose_rows(raw, [one.stream for one in candidates], keyed_uniforms(keys, index))
        nats = surprises(as_logits(raw), tokens).tolist()
        pending = tokens.tolist()
        for candidate, token, surprise in zip(candidates, pending, nats, strict=True):
            if end not in candidate.text:  # a finished one goes on for nothing; answers are short
                candidate.push(token, surprise)
                if chain.observes:
                    chain.observe(token, surprise, candidate.stream)
        if all(end in candidate.text for candidate in candidates):
            break
    for candidate in candidates:
        candidate.alone = -_nats(model, mark, candidate.tokens)
    return sorted(candidates, key=lambda candidate: -candidate.score)


def _nats(model: TextModel, mark: str, tokens: Sequence[int]) -> float:
    """The surprise of tokens after ``mark`` alone, by the model itself."""
    state, pending = model.read_text(mark, model.beginning())
    entering = [model.start if pending is None else pending, *tokens[:-1]]
    with OneThread():
        logits, _ = model.decoder.run(torch.tensor(entering, device=model.device).unsqueeze(1), state)
    return math.fsum(surprises(as_logits(model.rows(logits[:, 0])), tokens).tolist())
