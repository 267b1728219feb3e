"""Mirostat, version 2: sampling that steers a text's surprise to a target (Basu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from plugins.sampler import Sampler, Stream
from plugins.sampler_options import MIROSTAT

MEMORY = "mirostat.mu"


class Mirostat(Sampler):
    """Bans tokens with a surprise above mu, and moves mu after each token: mu -= rate (surprise - target).

    mu starts at twice the target (Basu, Ramachandran, Keskar and Varshney 2021, algorithm 2, with the truncation by
    surprise of the authors' version 2). Everything is in nats. The surprise fed back is that of the model itself, so
    that the target is one of the text, whatever temperature and other samplers do.
    """

    name = "mirostat"
    options = MIROSTAT
    order = 700

    def active(self, values: Mapping[str, Any]) -> bool:
        """The target turns it on."""
        return bool(values["mirostat"] > 0)

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Logits [B, V] with the too surprising tokens at minus infinity; the likeliest always stays."""
        mu = torch.tensor(
            [stream.memory.get(MEMORY, 2 * values["mirostat"]) for stream in streams],
            dtype=logits.dtype,
            device=logits.device,
        ).unsqueeze(-1)
        surprise = -logits.log_softmax(-1)
        drop = (surprise > mu) & (logits < logits.max(-1, keepdim=True).values)
        return logits.masked_fill(drop, float("-inf"))

    def observe(self, token: int, surprise: float, values: Mapping[str, Any], stream: Stream) -> None:
        """The feedback: a token more surprising than the target lowers mu."""
        target = values["mirostat"]
        stream.memory[MEMORY] = stream.memory.get(MEMORY, 2 * target) - values["mirostat_rate"] * (surprise - target)
