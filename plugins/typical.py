"""Locally typical sampling (Meister, Pimentel, Wiher and Cotterell 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from plugins.sampler import Sampler, Stream
from plugins.sampler_options import TYPICAL


class Typical(Sampler):
    """Keeps the tokens whose surprise is nearest to the expected one, until they hold the probability ``typical_p``.

    With H the entropy of the distribution, tokens are ranked by ``|H + log p|``, smallest first; the smallest set with
    total probability of at least ``typical_p`` stays (Meister et al. 2022, equation 9).
    """

    name = "typical"
    options = TYPICAL
    order = 300

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Logits [B, V] with the atypical tokens at minus infinity."""
        log_p = logits.log_softmax(-1)
        p = log_p.exp()
        entropy = -(p * log_p.masked_fill(p == 0, 0.0)).sum(-1, keepdim=True)  # [B, 1]
        rank = (entropy + log_p).abs().argsort(-1)
        ranked = p.gather(-1, rank)
        before = ranked.cumsum(-1) - ranked  # the mass of the better ones; 0 for the first, which therefore stays
        drop = torch.zeros_like(p, dtype=torch.bool).scatter(-1, rank, before >= values["typical_p"])
        return logits.masked_fill(drop, float("-inf"))
