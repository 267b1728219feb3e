"""The language model over the engine: layers, paths, initial weights, decoding."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from cells.errors import CelloquyError, UsageError
from cells.gru import GRU
from cells.initialise import initialise
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.packed import packing_works
from cells.rnn import RNN
from cells.state import clone, detach, select, stack, state_from_tensors, state_tensors

VARIANTS = [
    {},
    {"num_layers": 2, "residual": True},
    {"num_layers": 2, "norm": "layer", "embedding_size": 6},
    {"num_layers": 3, "residual": True, "norm": "layer", "embedding_size": 6, "dropout": 0.3},
    {"tie": True},
]


def build(cell, **options):
    torch.manual_seed(0)
    model = LanguageModel(cell, ModelConfig(11, 8, **options), kernels=options.pop("kernels", None)).double()
    initialise(model, seed=1)
    return model.eval()


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.randint(0, 11, (9, 2))


@pytest.mark.parametrize("options", VARIANTS)
def test_decoding_step_by_step_equals_the_sequence(cell, options, tokens):
    model = build(cell, **options)
    logits, last = model(tokens)
    decoder = model.decoder()
    state = decoder.initial_state(2)
    for t in range(9):
        step, state = decoder.step(tokens[t], state)
        torch.testing.assert_close(step, logits[t], rtol=1e-10, atol=1e-10)
    for left, right in zip(state, last, strict=True):
        for name in left:
            torch.testing.assert_close(left[name], right[name], rtol=1e-10, atol=1e-10)
    replayed, _ = decoder.run(tokens, decoder.initial_state(2))
    torch.testing.assert_close(replayed, logits)


@pytest.mark.parametrize("options", VARIANTS)
def test_the_token_table_equals_the_embedding(cell, options, tokens):
    """The table is used when a batch holds more tokens than the vocabulary; both ways give the same gradients."""
    model = build(cell, **options)
    results = []
    for wide in (tokens, tokens.repeat(1, 3)):
        model.zero_grad()
        logits, _ = model(wide)
        assert (wide.numel() < 11) is False
        F.cross_entropy(logits.flatten(0, 1), wide.flatten()).backward()
        results.append([parameter.grad.clone() for parameter in model.parameters()])
    short = model(tokens[:4])[0]
    torch.testing.assert_close(short, model(tokens)[0][:4], rtol=1e-10, atol=1e-10)
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", VARIANTS)
def test_every_parameter_gets_a_gradient(cell, options, tokens):
    model = build(cell, **options)
    model(tokens)[0].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_state_carried_between_windows_is_detached(tokens):
    model = build(LSTM())
    _, state = model(tokens)
    assert all(value.requires_grad for layer in state for value in layer.values())
    assert not any(value.requires_grad for layer in detach(state) for value in layer.values())


def test_dropout_acts_in_training_only_and_never_on_the_state(tokens):
    model = build(GRU(), num_layers=1, dropout=0.5)
    quiet, state = model(tokens)
    model.train()
    torch.manual_seed(5)
    noisy, trained = model(tokens)
    assert not torch.allclose(quiet, noisy)
    torch.testing.assert_close(state[0]["h"], trained[0]["h"])


def test_decoding_changes_no_state_in_place(cell, tokens):
    decoder = build(cell).decoder()
    state = decoder.initial_state(2)
    before = clone(state)
    decoder.step(tokens[0], state)
    decoder.run(tokens, state)
    for left, right in zip(state, before, strict=True):
        for name in left:
            assert torch.equal(left[name], right[name])


def test_the_unknown_token_starts_without_meaning():
    model = LanguageModel(GRU(), ModelConfig(5, 4, unknown_id=0))
    initialise(model)
    assert model.embedding.weight[0].abs().sum() == 0
    assert model.embedding.weight[1].abs().sum() > 0


@pytest.mark.parametrize("scheme", ["default", "glorot", "orthogonal", "he", "normal:0.01"])
def test_initial_weights_repeat_with_their_seed(scheme):
    models = []
    for seed in (3, 3, 4):
        model = LanguageModel(LSTM(), ModelConfig(7, 6))
        initialise(model, scheme, seed)
        models.append(model)
    same, different = models[1], models[2]
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), same.parameters(), strict=True))
    assert not torch.equal(models[0].blocks[0].recurrent.W, different.blocks[0].recurrent.W)
    assert models[0].blocks[0].recurrent.b.view(4, 6)[1].tolist() == [1.0] * 6


def test_initial_weights_have_the_scheme_s_statistics():
    model = LanguageModel(LSTM(), ModelConfig(50, 64))
    layer = model.recurrent_layers[0]
    initialise(model, "orthogonal")
    for block in layer.R["h"].detach().split(64):
        torch.testing.assert_close(block @ block.T, torch.eye(64), rtol=0, atol=1e-5)
    initialise(model, "normal:0.02")
    assert layer.R["h"].std().item() == pytest.approx(0.02, rel=0.05)
    initialise(model, "he")
    assert layer.W.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    initialise(model, "glorot")
    assert layer.W.abs().max().item() == pytest.approx((6 / 128) ** 0.5, rel=0.05)
    initialise(model, "default")
    assert layer.W.abs().max().item() == pytest.approx(1 / 8, rel=0.05)


def test_initialising_leaves_the_global_random_state_alone():
    model = LanguageModel(GRU(), ModelConfig(5, 4))
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    initialise(model)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scheme", ["normal", "normal:", "normal:-1", "normal:nan", "xavier", ""])
def test_an_unknown_scheme_lists_the_known(scheme):
    with pytest.raises(UsageError, match="orthogonal"):
        initialise(LanguageModel(GRU(), ModelConfig(5, 4)), scheme)


@pytest.mark.parametrize(
    "bad",
    [
        {"hidden_size": 0},
        {"hidden_size": True},
        {"num_layers": 1.5},
        {"vocabulary_size": 10**12},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"norm": "batch"},
        {"tie": True, "embedding_size": 3},
        {"unknown_id": 5},
        {"residual": "yes"},
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line(bad):
    with pytest.raises(UsageError) as caught:
        ModelConfig(**({"vocabulary_size": 5} | bad))
    assert "\n" not in str(caught.value)


def test_sizes_survive_json_and_strange_ones_are_refused():
    config = ModelConfig(5, 4, tie=True, unknown_id=0)
    assert ModelConfig.from_json(config.to_json()) == config
    for strange in ({}, {"vocabulary_size": 5, "depth": 2}, [], None):
        with pytest.raises(CelloquyError):
            ModelConfig.from_json(strange)


def test_states_can_be_selected_stacked_and_flattened():
    model = build(LSTM(), num_layers=2)
    _, state = model(torch.randint(0, 11, (3, 4)))
    rows = [select(state, [row]) for row in range(4)]
    again = stack(rows)
    flat = state_from_tensors(state_tensors(again))
    for left, right in zip(state, flat, strict=True):
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_row_s_logits_do_not_depend_on_its_company():
    """To the last bit where the hidden size fills whole vectors: what makes text the same one by one and batched."""
    if not packing_works(torch.float32):
        pytest.skip("this machine has no packed products")
    torch.manual_seed(0)
    for cell in (RNN(), LSTM(), GRU()):
        model = LanguageModel(cell, ModelConfig(37, 64, num_layers=2, norm="layer"))
        decoder = model.eval().decoder()
        tokens = torch.randint(0, 37, (50, 9))
        together, alone, few = decoder.initial_state(9), decoder.initial_state(1), decoder.initial_state(3)
        for row in tokens:
            all_logits, together = decoder.step(row, together)
            one, alone = decoder.step(row[4:5], alone)
            three, few = decoder.step(row[3:6], few)
            assert torch.equal(all_logits[4], one[0])
            assert torch.equal(all_logits[3:6], three)
