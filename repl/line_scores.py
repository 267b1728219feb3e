"""The likelihood of each of many short texts, read side by side: as continuations of a line break, the first token too.

``repl.scoring`` reads one text and gives the surprise of every token; here there is a number for each text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from checkpoints.evaluate import bits_per_character
from repl.text_model import ROWS, OneThread, TextModel

LOGITS_AT_ONCE = 1 << 22
"""Numbers that are computed at once; bounds the memory that long lines and large vocabularies take."""


@dataclass(frozen=True)
class LineScore:
    """-log p of one text in ``nats``, over the ``tokens`` that the checkpoint knows, of ``all_tokens`` that it has."""

    text: str
    nats: float
    tokens: int
    all_tokens: int
    unknown: tuple[str, ...]

    @property
    def characters(self) -> int:
        """The characters of the text."""
        return len(self.text)

    @property
    def nats_per_token(self) -> float | None:
        """The mean surprise of a token; None without one."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def bits_per_character(self) -> float | None:
        """The same in bits a character, which can be compared whatever the tokens are; None without a known one."""
        mean = self.nats_per_token
        return None if mean is None else bits_per_character(mean, self.all_tokens, self.characters)


def score_lines(model: TextModel, texts: Iterable[str]) -> Iterator[LineScore]:
    """The score of each text, in order, some at a time: memory stays the same for any number of them."""
    waiting = iter(texts)
    while batch := list(islice(waiting, ROWS)):
        tokens = [model.tokenizer.encode(text) for text in batch]
        for text, ids, nats in zip(batch, tokens, _nats(model, tokens), strict=True):
            known = sum(token not in model.banned for token in ids)
            yield LineScore(text, nats, known, len(ids), tuple(model.tokenizer.unknown_characters(text)))


def _nats(model: TextModel, texts: Sequence[Sequence[int]]) -> list[float]:
    """-log p of each sequence of tokens, those that are unknown left out."""
    longest = max(map(len, texts))
    inputs = np.full((longest, len(texts)), model.start, dtype=np.int64)
    targets = np.full((longest, len(texts)), -1, dtype=np.int64)
    for column, ids in enumerate(texts):
        targets[: len(ids), column] = ids
        inputs[1 : len(ids), column] = ids[:-1]
    counted = targets >= 0
    for token in model.banned:
        counted &= targets != token
    sums = np.zeros(len(texts))
    state = model.decoder.initial_state(len(texts))
    step = max(1, LOGITS_AT_ONCE // (len(texts) * model.tokenizer.vocabulary_size))
    for start in range(0, longest, step):
        part = slice(start, start + step)
        wanted = torch.from_numpy(np.maximum(targets[part], 0)).to(model.device)
        with OneThread():
            logits, state = model.decoder.run(torch.from_numpy(inputs[part]).to(model.device), state)
            losses = -logits.double().log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
        sums += np.where(counted[part], losses.cpu().numpy(), 0.0).sum(axis=0)
    return [float(nats) for nats in sums]
