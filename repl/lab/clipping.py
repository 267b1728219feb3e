"""What gradient clipping changes: the same network trained with and without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from repl.lab.variants import VOCABULARY, Variant, build

if TYPE_CHECKING:
    from plugins.registry import Registry

STEPS = 100
LENGTH = 50
ROWS = 8
PERIOD = 10
"""The text repeats this many tokens: any network that survives learns it."""

LEARNING_RATE = 0.5


@dataclass(frozen=True)
class TrainingRun:
    """Loss (nats a token) and norm of the whole gradient before clipping, step by step; it ends where either is not
    finite any more."""

    label: str
    clip: float
    loss: list[float]
    norm: list[float]

    @property
    def survived(self) -> bool:
        """Whether the last step's numbers were finite."""
        return math.isfinite(self.loss[-1]) and math.isfinite(self.norm[-1])

    def to_json(self) -> dict[str, Any]:
        """The numbers; the last may be null, if that is how the run ended."""
        finite = {
            name: [value if math.isfinite(value) else None for value in values]
            for name, values in (("loss", self.loss), ("gradient_norm", self.norm))
        }
        return {"label": self.label, "clip": self.clip or None, **finite}


def clipping_run(
    variant: Variant, clip: float, registry: Registry, *, hidden: int = 32, seed: int = 1, steps: int = STEPS
) -> TrainingRun:
    """Train by plain gradient descent on a repeated text; the gradient's norm is cut to ``clip`` (0: never).

    Pascanu, Mikolov and Bengio 2013, algorithm 1: g * clip / |g| where |g| is larger than ``clip``.
    """
    model = build(variant, registry, hidden=hidden, seed=seed).train()
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, VOCABULARY, (PERIOD,), generator=generator).repeat(LENGTH // PERIOD + 2)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    losses, norms = [], []
    for _ in range(steps):
        starts = torch.randint(0, PERIOD, (ROWS,), generator=generator).tolist()
        tokens = torch.stack([text[start : start + LENGTH + 1] for start in starts], 1)
        logits, _ = model(tokens[:-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
        losses.append(float(loss.detach()))
        norms.append(float(norm))
        if not math.isfinite(losses[-1]) or not math.isfinite(norms[-1]):
            break
        optimizer.step()
    return TrainingRun(variant.label, clip, losses, norms)
