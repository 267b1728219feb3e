"""Masks of weights and embeddings, locked dropout, penalties: their arithmetic; every path of the engine sees them."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from cells.gru import GRU
from cells.kernels import fused_kernel
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.regularise import Regularisation, lock_dropout, locked_dropout
from cells.rnn import RNN

T, B, V, H = 7, 3, 11, 8


def build(cell, kernels=None, **options):
    torch.manual_seed(0)
    return LanguageModel(cell, ModelConfig(V, H, **options), kernels=kernels).double().train()


def tokens(seed=1):
    torch.manual_seed(seed)
    return torch.randint(0, V, (T, B))


def gradients(model, run):
    model.zero_grad()
    run().square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("layers", [1, 2])
def test_weight_dropout_masks_every_recurrent_matrix_once_a_step(cell, layers):
    """Outputs and gradients are those of a model whose matrices are masked by hand, in whatever path the cell runs."""
    model, read = build(cell, num_layers=layers), tokens()
    own = {name: parameter for name, parameter in model.named_parameters() if ".R." in name}
    torch.manual_seed(5)
    masks = {name: torch.nn.functional.dropout(torch.ones_like(value), 0.4) for name, value in own.items()}
    if own:
        kept = torch.cat([mask.flatten() for mask in masks.values()])
        assert set(kept.unique().tolist()) == {0.0, 1 / 0.6}
    expected = gradients(
        model, lambda: functional_call(model, {name: own[name] * mask for name, mask in masks.items()}, (read,))[0]
    )

    def masked():
        torch.manual_seed(5)
        with Regularisation(weights=0.4).masked(model):
            return model(read)[0]

    found = gradients(model, masked)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-14)
    for name, mask in masks.items():
        assert (found[name][mask == 0] == 0).all()


@pytest.mark.parametrize("made", [RNN, LSTM, GRU])
def test_a_fused_kernel_runs_with_the_same_mask_as_the_loop(made):
    results = []
    for kernels in (None, fused_kernel):
        model = build(made(), kernels).float()

        def run(model=model):
            torch.manual_seed(3)
            with Regularisation(weights=0.5, embedding=0.3).masked(model):
                return model(tokens())[0]

        results.append((run().detach(), gradients(model, run)))
    (loop, loop_gradients), (fused, fused_gradients) = results
    torch.testing.assert_close(fused, loop, rtol=1e-4, atol=1e-5)
    for name, gradient in loop_gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-3, atol=1e-6)


def test_afterwards_the_weights_are_the_own_ones_again():
    model = build(LSTM())
    before = dict(model.named_parameters())

    def failing():
        with Regularisation(weights=0.5, embedding=0.5).masked(model):
            assert model.embedding.weight is not before["embedding.weight"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    after = dict(model.named_parameters())
    assert all(after[name] is value for name, value in before.items())


@pytest.mark.parametrize("vocabulary", [V, 200])
def test_embedding_dropout_leaves_out_whole_tokens_by_table_or_not(vocabulary):
    """With V=200 a batch has fewer tokens than the vocabulary, so that they are looked up one by one."""
    torch.manual_seed(0)
    model = LanguageModel(GRU(), ModelConfig(vocabulary, H), kernels=None).double().train()
    read = tokens()
    torch.manual_seed(9)
    rows = torch.nn.functional.dropout(torch.ones(vocabulary, 1, dtype=torch.float64), 0.5)
    masked = functional_call(model, {"embedding.weight": model.embedding.weight * rows}, (read,))[0]
    torch.manual_seed(9)
    with Regularisation(embedding=0.5).masked(model):
        found = model(read)[0]
    assert 0 < int((rows == 0).sum()) < vocabulary
    torch.testing.assert_close(found, masked, rtol=1e-12, atol=1e-12)


def test_a_tied_readout_keeps_its_embedding():
    model = build(GRU(), tie=True)
    hidden = torch.randn(2, H, dtype=torch.float64)
    whole = model.read(hidden)
    with Regularisation(embedding=0.9).masked(model):
        assert torch.equal(model.read(hidden), whole)


def test_a_locked_mask_is_the_same_at_every_step_and_differs_between_rows():
    torch.manual_seed(1)
    dropped = locked_dropout(torch.ones(50, 6, 40), 0.25, True)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert 0.1 < float((dropped[0] == 0).float().mean()) < 0.4


def test_locked_dropout_does_nothing_in_evaluation_and_is_a_mask_for_each_layer():
    model = build(RNN(), num_layers=2, dropout=0.5)
    lock_dropout(model)
    read = tokens()
    assert torch.equal(model.eval()(read)[0], model(read)[0])
    torch.manual_seed(2)
    hidden, _ = model.train().hidden(read)
    gone = (hidden == 0).all(0)
    assert 0 < int(gone.sum()) < gone.numel()
    assert ((hidden == 0) == gone).all()


def test_the_penalties_are_those_of_the_paper():
    given = torch.tensor([[[1.0, -2.0]], [[0.0, 3.0]], [[2.0, 0.0]]])  # [3, 1, 2]
    output = torch.tensor([[[1.0, 1.0]], [[2.0, -1.0]], [[2.0, 0.0]]])
    assert Regularisation(activation=2.0).penalty(given, output) == pytest.approx(2 * (1 + 4 + 0 + 9 + 4) / 6)
    assert Regularisation(temporal=0.5).penalty(given, output) == pytest.approx(0.5 * (1 + 4 + 0 + 1) / 4)
    both = Regularisation(activation=2.0, temporal=0.5).penalty(given, output)
    assert both == pytest.approx(2 * 18 / 6 + 0.5 * 6 / 4)
    assert Regularisation().penalty(given, output) is None
    assert Regularisation(temporal=1.0).penalty(given[:1], output[:1]) is None


def test_the_outputs_are_those_before_dropout_and_the_residual_path():
    model = build(GRU(), num_layers=2, dropout=0.5, residual=True)
    outputs = []
    hidden, state = model.hidden(tokens(), outputs=outputs)
    assert [output.shape for output in outputs] == [(T, B, H)] * 2
    for output, layer in zip(outputs, state, strict=True):
        assert torch.equal(output[-1], layer["h"])
    assert not torch.equal(outputs[-1], hidden)
