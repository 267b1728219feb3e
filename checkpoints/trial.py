"""Short pieces of real work, for measuring threads and precision: they leave weights and random state as they were."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cells.loss import mean_loss
from cells.model import LanguageModel, RecurrentModel


def gradient_trial(model: RecurrentModel, dtype: torch.dtype | None, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A function that computes the gradients of a loss, the products in ``dtype``, and forgets them."""

    def trial() -> None:
        before, training = model.compute_dtype, model.training
        model.compute_dtype = dtype
        model.train()
        try:
            with torch.random.fork_rng():
                loss().backward()  # type: ignore[no-untyped-call]
        finally:
            model.zero_grad(set_to_none=True)
            model.compute_dtype = before
            model.train(training)

    return trial


def trial_loss(model: LanguageModel, batch: int, steps: int) -> Tensor:
    """The loss of one small batch [steps, batch]."""
    tokens = torch.zeros(steps, batch, dtype=torch.int64, device=model.readout.bias.device)
    hidden, _ = model.hidden(tokens, model.initial_state(batch))
    return mean_loss(model, hidden, tokens)


def reading_trial(model: LanguageModel, batch: int, steps: int) -> Callable[[], None]:
    """A function that reads one small batch [steps, batch] without gradients."""
    tokens = torch.zeros(steps, batch, dtype=torch.int64, device=model.readout.bias.device)

    def trial() -> None:
        with torch.no_grad():
            model(tokens)

    return trial
