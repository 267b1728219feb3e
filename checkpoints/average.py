"""An exponential moving average of the weights: what is evaluated and saved in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cells.errors import CelloquyError


class WeightAverage:
    """a <- d a + (1 - d) w after every step, with d = min(``decay``, (1 + n) / (10 + n)) after n steps.

    Averaging the iterates of a stochastic search is due to Polyak and Juditsky (1992); with the smaller d at the
    beginning the initial weights are soon forgotten. It smooths what the last steps of a run jump about.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.values = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the present weights, after ``steps`` steps."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, parameter in self.model.named_parameters():
            self.values[name].lerp_(parameter, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """While entered, the model has the averaged weights."""
        parameters = dict(self.model.named_parameters())
        kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        try:
            self._put(self.values)
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(values[name])

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go back to a saved average; with none saved it begins with the present weights."""
        for name, parameter in self.model.named_parameters():
            value = saved.get(name, parameter.detach())
            if value.shape != parameter.shape:
                raise CelloquyError(f"the resume state does not fit the model: ema.{name}")
            self.values[name].copy_(value)
