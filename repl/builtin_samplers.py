"""Top-k, top-p, min-p and the repetition penalty, brought in by the hook that anybody's sampler uses. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plugins.hookspecs import hookimpl
from plugins.options import Option
from plugins.sampler import Sampler, Stream

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray
    from torch import Tensor

    from plugins.registry import RegisterSampler


def _on_array(logits: Tensor, change: Callable[[NDArray[float64]], NDArray[float64]]) -> Tensor:
    """Apply a function on float64 arrays to logits; what is float64 on the CPU already is not copied."""
    import torch

    return torch.from_numpy(change(logits.double().numpy()))


class RepetitionPenalty(Sampler):
    """Make tokens of the text so far less likely (Keskar et al. 2019)."""

    name = "repetition-penalty"
    order = 100
    options = (
        Option(
            "repetition-penalty",
            float,
            1.0,
            "Make tokens that were used already less likely by this factor; 1 is off.",
            minimum=0,
            exclusive_minimum=True,
            step=0.05,
            command="penalty",
        ),
        Option("repetition-window", int, 64, "How many of the last tokens count as used; 0 for all.", minimum=0),
    )

    def active(self, values: Mapping[str, Any]) -> bool:
        """The window alone changes nothing."""
        return bool(values["repetition_penalty"] != 1)

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Each row by its own stream's tokens."""
        import numpy

        from repl.sampling import repetition_penalty

        penalty, window = values["repetition_penalty"], values["repetition_window"]

        def change(rows: NDArray[float64]) -> NDArray[float64]:
            used = [stream.history[-window:] for stream in streams]
            return numpy.stack([repetition_penalty(row, penalty, u) for row, u in zip(rows, used, strict=True)])

        return _on_array(logits, change)


class TopK(Sampler):
    """Keep the k likeliest tokens (Fan, Lewis and Dauphin 2018)."""

    name = "top-k"
    order = 400
    options = (Option("top-k", int, 0, "Draw from the K likeliest tokens only; 0 is off.", minimum=0, step=1),)

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """See ``repl.sampling.top_k``."""
        from repl.sampling import top_k

        return _on_array(logits, lambda rows: top_k(rows, values["top_k"]))


class TopP(Sampler):
    """Keep the smallest set of likeliest tokens with enough probability (Holtzman et al. 2020)."""

    name = "top-p"
    order = 500
    options = (
        Option(
            "top-p",
            float,
            1.0,
            "Draw from the likeliest tokens that together have probability P; 1 is off.",
            minimum=0,
            maximum=1,
            step=0.05,
        ),
    )

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """See ``repl.sampling.top_p``."""
        from repl.sampling import top_p

        return _on_array(logits, lambda rows: top_p(rows, values["top_p"]))


class MinP(Sampler):
    """Keep tokens that are likely enough beside the likeliest (Nguyen et al. 2024)."""

    name = "min-p"
    order = 600
    options = (
        Option(
            "min-p",
            float,
            0.0,
            "Draw from tokens at least P times as likely as the likeliest; 0 is off.",
            minimum=0,
            maximum=1,
            step=0.01,
        ),
    )

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """See ``repl.sampling.min_p``."""
        from repl.sampling import min_p

        return _on_array(logits, lambda rows: min_p(rows, values["min_p"]))


@hookimpl
def register_samplers(register: RegisterSampler) -> None:
    """The four of them."""
    for sampler in (TopK, TopP, MinP, RepetitionPenalty):
        register(sampler)
