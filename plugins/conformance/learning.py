"""Checks by training: a tiny copy task, and the speed against the built-in LSTM."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from plugins.conformance.subject import Subject

SYMBOLS, DELAY = 4, 3
VOCABULARY = 64
STEPS, ATTEMPTS, ENOUGH = 200, 2, 0.9


def learns_to_copy(subject: Subject) -> str:
    """After some training, the cell repeats a symbol that it saw four steps earlier, nine times in ten."""
    scores = []
    for seed in range(ATTEMPTS):
        scores.append(_copy_score(subject.cell, seed))
        if scores[-1] >= ENOUGH:
            return f"{scores[-1]:.0%} right"
    raise CelloquyError(
        f"after {STEPS} steps of training it repeats a symbol seen {DELAY + 1} steps earlier {max(scores):.0%} of the "
        f"time, {1 / SYMBOLS:.0%} being chance: it does not remember, or does not learn"
    )


def _copy_score(cell: Cell, seed: int) -> float:
    """The share of right answers after training. Tokens: the symbols, then a blank, then the question."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LanguageModel(cell, ModelConfig(vocabulary_size=SYMBOLS + 2, hidden_size=24), kernels=None)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        score = torch.zeros(())
        for step in range(STEPS):
            symbols = torch.randint(SYMBOLS, (32,))
            logits, _ = model(_question(symbols))
            loss = F.cross_entropy(logits[-1], symbols)
            if not bool(loss.isfinite()):
                return 0.0
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            right = (logits[-1].argmax(-1) == symbols).float().mean()
            score = 0.8 * score + 0.2 * right
            if step > 20 and score > 0.97:
                break
    return float(score)


def _question(symbols: Tensor) -> Tensor:
    blank, ask = torch.full_like(symbols, SYMBOLS), torch.full_like(symbols, SYMBOLS + 1)
    return torch.stack([symbols, *[blank] * DELAY, ask])


def training_speed(subject: Subject) -> str:
    """Tokens a second in training, against the built-in LSTM in the same engine without fused kernels."""
    rates = tokens_per_second([subject.cell, LSTM()], seconds=1.0)
    return f"{rates[0]:,.0f} tokens/s on one thread, {rates[0] / rates[1]:.2f} of the LSTM's"


def tokens_per_second(
    cells: Sequence[Cell],
    hidden: int = 256,
    batch: int = 32,
    length: int = 32,
    rounds: int = 8,
    dtype: torch.dtype | None = None,
    seconds: float = math.inf,
) -> list[float]:
    """The best of some rounds for each cell, forward and backward; in turns, so that all meet the same machine.

    The rounds end early, but not before the third, when they have taken ``seconds``. ``dtype`` is that of the
    products, None the parameters'. No fused kernels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ModelConfig(vocabulary_size=VOCABULARY, hidden_size=hidden)
        models = [LanguageModel(cell, config, kernels=None) for cell in cells]
        tokens = torch.randint(VOCABULARY, (length, batch))
    for model in models:
        model.compute_dtype = dtype
    best = [float("inf")] * len(models)
    began = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - began > seconds:
            break
        for number, model in enumerate(models):
            start = time.perf_counter()
            logits, _ = model(tokens)
            loss = F.cross_entropy(logits.flatten(0, 1), tokens.flatten())
            torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
            best[number] = min(best[number], time.perf_counter() - start)
    return [length * batch / duration for duration in best]
