"""A long sequence is projected a block at a time, and gives what it gives in one piece."""

from __future__ import annotations

import pytest
import torch

from cells import model as model_module
from cells import product as product_module
from cells.cell import Cell
from cells.gru import GRU
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.packed import once_product
from cells.rnn import RNN


@pytest.mark.parametrize("cell", [LSTM(), GRU()], ids=["lstm", "gru"])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_blocks_give_the_logits_state_and_gradients_of_one_piece(
    monkeypatch: pytest.MonkeyPatch, cell: Cell, dtype: torch.dtype | None
) -> None:
    torch.manual_seed(0)
    model = LanguageModel(cell, ModelConfig(7, 16, num_layers=2), kernels=None)
    model.compute_dtype = dtype
    tokens = torch.randint(0, 7, (23, 3))
    found = []
    for block in (100, 5):
        monkeypatch.setattr(model_module, "BLOCK", block)
        model.zero_grad()
        logits, state = model(tokens)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found.append((logits, state, gradients))
    (logits, state, gradients), (again, state_again, gradients_again) = found
    assert torch.equal(logits, again)
    assert all(
        torch.equal(one[name], other[name]) for one, other in zip(state, state_again, strict=True) for name in one
    )
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient, atol=1e-6 if dtype is None else 1e-3, rtol=1e-4)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_weight_gradient_of_a_long_sequence_is_gathered_a_pile_at_a_time(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype | None
) -> None:
    torch.manual_seed(0)
    model = LanguageModel(RNN(), ModelConfig(7, 16), kernels=None)
    model.compute_dtype = dtype
    tokens = torch.randint(0, 7, (23, 3))
    rows: list[int] = []

    def counted(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        rows.append(len(left))
        return once_product(left, right)

    monkeypatch.setattr(product_module, "once_product", counted)
    found = []
    for pile in (100, 5):
        monkeypatch.setattr(product_module, "PILE", pile)
        rows.clear()
        model.zero_grad()
        logits, _ = model(tokens)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        found.append((list(rows), model.recurrent_layers[0].R["h"].grad))
    (whole, gradient), (piles, again) = found
    assert (whole, piles) == ([69], [15, 15, 15, 15, 9])
    torch.testing.assert_close(again, gradient, atol=1e-6 if dtype is None else 1e-3, rtol=1e-4)
