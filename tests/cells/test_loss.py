"""The loss in pieces is the loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cells.loss import mean_loss
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig


def loss_and_gradients(at_once: int) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(1)
    model = LanguageModel(LSTM(), ModelConfig(50, 12, norm="layer"))
    tokens, targets = torch.randint(50, (2, 23, 3))
    hidden, _ = model.hidden(tokens, model.initial_state(3))
    loss = mean_loss(model, hidden, targets, at_once)
    loss.backward()
    return loss.detach(), [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("at_once", [1, 150, 1000, 3449])
def test_a_loss_in_pieces_is_the_whole_loss_with_the_same_gradients(at_once: int) -> None:
    whole, gradients = loss_and_gradients(1 << 26)
    loss, others = loss_and_gradients(at_once)
    torch.testing.assert_close(loss, whole)
    assert len(gradients) == len(others) > 5
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other)


def test_only_some_of_the_logits_are_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    largest, read = [0], LanguageModel.read

    def seen(self: LanguageModel, hidden: Tensor) -> Tensor:
        logits = read(self, hidden)
        largest[0] = max(largest[0], logits.numel())
        return logits

    monkeypatch.setattr(LanguageModel, "read", seen)
    loss_and_gradients(1000)
    assert 0 < largest[0] <= 1000


def test_what_is_small_is_done_at_once_to_the_last_bit() -> None:
    loss, _ = loss_and_gradients(3450)
    torch.manual_seed(1)
    model = LanguageModel(LSTM(), ModelConfig(50, 12, norm="layer"))
    tokens, targets = torch.randint(50, (2, 23, 3))
    hidden, _ = model.hidden(tokens, model.initial_state(3))
    assert torch.equal(loss, F.cross_entropy(model.read(hidden).flatten(0, 1), targets.flatten()).detach())
