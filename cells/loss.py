"""The loss of a language model over a whole piece of text, with room for vocabularies of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from cells.model import LanguageModel

LOGITS_AT_ONCE = 1 << 26
"""Logits that may be in memory at once: 256 MB, three times in the backward pass."""


def mean_loss(model: LanguageModel, hidden: Tensor, targets: Tensor, at_once: int = LOGITS_AT_ONCE) -> Tensor:
    """The mean of -ln p(target), a scalar in nats a token, from the last layer's output.

    ``hidden`` [T, B, H], ``targets`` [T, B]. Where all logits [T, B, V] together would be more than ``at_once``, they
    are made for a few steps at a time and made again in the backward pass (Chen, Xu, Zhang and Guestrin 2016,
    "Training Deep Nets with Sublinear Memory Cost"): 63,000 characters in the default batch take 1 GB, not 8.
    """
    targets = model.plain(targets)
    steps, rows = targets.shape
    piece = max(1, at_once // (rows * model.config.vocabulary_size))
    if piece >= steps:
        return F.cross_entropy(model.read(hidden).flatten(0, 1).float(), targets.flatten())
    total = hidden.new_zeros((), dtype=torch.float32)
    for at in range(0, steps, piece):
        part, wanted = hidden[at : at + piece], targets[at : at + piece]
        total = total + checkpoint(_summed, model, part, wanted, use_reentrant=False, preserve_rng_state=False)
    return total / targets.numel()


def _summed(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    logits = model.read(hidden)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")
