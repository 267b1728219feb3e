"""Short pieces of real work, for measuring threads: they leave weights and random state as they were."""

from __future__ import annotations

from collections.abc import Callable

import torch

from cells.loss import mean_loss
from cells.model import LanguageModel


def gradient_trial(model: LanguageModel, dtype: torch.dtype | None, batch: int, steps: int) -> Callable[[], None]:
    """A function that computes the gradients of one small batch [steps, batch] and forgets them."""

    def trial() -> None:
        device = model.readout.bias.device
        tokens = torch.zeros(steps, batch, dtype=torch.int64, device=device)
        before, training = model.compute_dtype, model.training
        model.compute_dtype = dtype
        model.train()
        try:
            with torch.random.fork_rng():
                hidden, _ = model.hidden(tokens, model.initial_state(batch))
                loss = mean_loss(model, hidden, tokens)
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            model.zero_grad(set_to_none=True)
            model.compute_dtype = before
            model.train(training)

    return trial


def reading_trial(model: LanguageModel, batch: int, steps: int) -> Callable[[], None]:
    """A function that reads one small batch [steps, batch] without gradients."""
    tokens = torch.zeros(steps, batch, dtype=torch.int64, device=model.readout.bias.device)

    def trial() -> None:
        with torch.no_grad():
            model(tokens)

    return trial
