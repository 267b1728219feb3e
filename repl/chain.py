"""The way from the model's logits to a token: samplers, the temperature among them, and the draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plugins.sampler import TEMPERATURE_ORDER, Sampler, Stream
from repl.sampling import SAFE_TEMPERATURE, Array, draw, draw_one, draw_rows, temper
from repl.sampling_options import effective_temperature

if TYPE_CHECKING:
    from plugins.entries import SamplerEntry


class Chain:
    """The samplers that given values make active, in order. Values that change need another chain; it is cheap.

    ``banned`` tokens are never drawn. With no sampler active, a token costs a few microseconds.
    """

    def __init__(self, samplers: Iterable[SamplerEntry], values: Mapping[str, Any], banned: Sequence[int] = ()) -> None:
        active = sorted((entry for entry in samplers if entry.active(values)), key=lambda entry: entry.order)
        self._before = [entry for entry in active if entry.order < TEMPERATURE_ORDER]
        self._after = [entry for entry in active if entry.order >= TEMPERATURE_ORDER]
        self._observers = [entry for entry in active if type(entry.sampler).observe is not Sampler.observe]
        self._values = values
        self._temperature = effective_temperature(values)
        self._banned = tuple(banned)
        self._plain = not active

    def logits(self, raw: Array, streams: Sequence[Stream]) -> Array:
        """What is drawn from, [B, V], for the model's logits ``raw`` [B, V] of as many streams."""
        logits = raw.astype(np.float64)
        for token in self._banned:
            logits[..., token] = -np.inf
        for entry in self._before:
            logits = self._apply(entry, logits, streams)
        logits = temper(logits, self._temperature)
        for entry in self._after:
            logits = self._apply(entry, logits, streams)
        for token in () if self._plain else self._banned:
            logits[..., token] = -np.inf  # whatever a sampler thought of it
        return logits

    def choose(self, raw: Array, stream: Stream, u: float) -> int:
        """The token for one row of logits [V], at ``u`` in [0, 1)."""
        if self._plain:
            if self._temperature >= SAFE_TEMPERATURE:
                return draw_one(raw, u, self._temperature, self._banned)
            return int(draw(self.logits(raw, (stream,)), u))
        return int(draw(self.logits(raw[None], (stream,))[0], u))

    def choose_rows(self, raw: Array, streams: Sequence[Stream], u: Array) -> NDArray[np.intp]:
        """The tokens [B] for logits [B, V], one stream and one number of ``u`` [B] a row."""
        if self._plain and self._temperature >= SAFE_TEMPERATURE:
            return draw_rows(raw, u, self._temperature, self._banned)
        return draw(self.logits(raw, streams), u)

    @property
    def temperature(self) -> float:
        """What the logits are divided by; 0 takes the likeliest token."""
        return self._temperature

    @property
    def samplers(self) -> list[str]:
        """The names of the samplers that are active."""
        return [entry.name for entry in (*self._before, *self._after)]

    @property
    def observes(self) -> bool:
        """Whether a sampler wants to be told of each token."""
        return bool(self._observers)

    def observe(self, token: int, surprise: float, stream: Stream) -> None:
        """Tell the samplers of a token and its surprise by the model itself, in nats."""
        for entry in self._observers:
            entry.observe(token, surprise, self._values, stream)

    def _apply(self, entry: SamplerEntry, logits: Array, streams: Sequence[Stream]) -> Array:
        changed = entry.transform(torch.from_numpy(logits), self._values, streams).detach()
        return rows_of(changed).astype(np.float64)


def rows_of(logits: Tensor) -> Array:
    """Logits as an array, without a copy if they are on the CPU."""
    array: Array = logits.numpy() if logits.is_cpu else logits.cpu().numpy()
    return array
