"""Decoding: what is worked out beforehand changes nothing, whichever way a state is come to."""

from __future__ import annotations

import pytest
import torch

from cells.errors import CelloquyError
from cells.gru import GRU
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from cells.state import clone

SIZES = [{}, {"num_layers": 3}, {"num_layers": 2, "residual": True}, {"num_layers": 2, "norm": "layer"}]


def decoder_of(cell, **sizes):
    torch.manual_seed(0)
    return LanguageModel(cell, ModelConfig(37, 64, **sizes)).eval().decoder()


def bits(logits, state):
    return [logits.numpy().tobytes(), *(value.numpy().tobytes() for layer in state for value in layer.values())]


@pytest.mark.parametrize("sizes", SIZES)
def test_a_state_come_back_to_gives_the_same_numbers_as_going_straight_on(cell, sizes):
    """Straight on, the recurrent product is there from the step before; a copied state has it worked out again."""
    decoder = decoder_of(cell, **sizes)
    state = decoder.initial_state(1)
    for token in (3, 1, 4, 1, 5):
        copied = clone(state)
        logits, after = decoder.step_one(token, state)
        assert bits(*decoder.step_one(token, copied)) == bits(logits, after)
        state = after


def test_two_texts_by_turns_do_not_disturb_each_other():
    decoder = decoder_of(LSTM())
    alone = [decoder.initial_state(1) for _ in range(2)]
    expected = []
    for number, tokens in enumerate(([3, 1, 4], [2, 7, 1])):
        for token in tokens:
            logits, alone[number] = decoder.step_one(token, alone[number])
        expected.append(bits(logits, alone[number]))
    turns = [decoder.initial_state(1) for _ in range(2)]
    for pair in ((3, 2), (1, 7), (4, 1)):
        for number, token in enumerate(pair):
            logits, turns[number] = decoder.step_one(token, turns[number])
            last = bits(logits, turns[number])
            if pair == (4, 1):
                assert last == expected[number]


def test_one_token_and_a_batch_of_one_are_the_same(cell):
    decoder = decoder_of(cell)
    state = decoder.initial_state(1)
    assert bits(*decoder.step_one(5, state)) == bits(*decoder.step(torch.tensor([5]), state))


def test_decoding_a_model_in_training_records_no_gradient():
    model = LanguageModel(LSTM(), ModelConfig(11, 8, num_layers=2, norm="layer", residual=True)).train()
    decoder = model.decoder()
    logits, state = decoder.step(torch.tensor([1, 2]), decoder.initial_state(2))
    assert not logits.requires_grad
    assert not any(value.requires_grad for layer in state for value in layer.values())


@pytest.mark.parametrize("sizes", [*SIZES, {"labels": 3, "label_size": 5}])
@pytest.mark.parametrize("made", [RNN, lambda: RNN(activation="relu"), GRU, LSTM], ids=["rnn", "relu", "gru", "lstm"])
def test_decoding_is_the_models_forward_with_every_bias_moved(made, sizes):
    """In float32, where the built-in cells step in place: with biases of 0 their folding could not be seen."""
    torch.manual_seed(0)
    model = LanguageModel(made(), ModelConfig(37, 64, **sizes), kernels=None).eval().requires_grad_(False)
    for value in model.parameters():
        value.add_(0.3 * torch.randn_like(value) / (value.shape[-1] ** 0.5 if value.ndim > 1 else 1.0))
    decoder, tokens = model.decoder(), torch.randint(37, (8, 3))
    state = decoder.initial_state(3)
    if "labels" in sizes:
        state[-1] = {name: torch.rand_like(value) for name, value in state[-1].items()}
    expected = model(tokens, clone(state))[0]
    for t, row in enumerate(tokens):
        logits, state = decoder.step(row, state)
        assert torch.allclose(logits, expected[t], atol=2e-5, rtol=2e-5)


def test_tokens_and_rows_of_state_must_be_as_many(cell):
    decoder = decoder_of(cell)
    with pytest.raises(CelloquyError):
        decoder.step(torch.tensor([1, 2, 3]), decoder.initial_state(1))


def test_a_state_that_carries_a_gradient_is_read_like_another():
    model = LanguageModel(LSTM(), ModelConfig(5, 64))
    state = model(torch.zeros(2, 3, dtype=torch.int64))[1]
    plain = [{name: value.detach() for name, value in layer.items()} for layer in state]
    tokens, decoder = torch.tensor([1, 2, 3]), model.decoder()
    assert torch.equal(decoder.step(tokens, state)[0].detach(), decoder.step(tokens, plain)[0])


@pytest.mark.parametrize("token", [-1, 37])
def test_a_token_that_is_none_is_refused(cell, token):
    decoder = decoder_of(cell)
    with pytest.raises((IndexError, CelloquyError)):
        decoder.step(torch.tensor([token, 2]), decoder.initial_state(2))


def test_a_state_that_was_given_back_may_be_asked_for_a_gradient(cell):
    decoder = decoder_of(cell, labels=2, label_size=3)
    _, state = decoder.step_one(3, decoder.initial_state(1))
    expected = bits(*decoder.step_one(5, state))
    for layer in state:
        for value in layer.values():
            value.requires_grad_()
    logits, after = decoder.step_one(5, state)
    assert [
        logits.detach().numpy().tobytes(),
        *(value.detach().numpy().tobytes() for layer in after for value in layer.values()),
    ] == expected


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 3e38])
def test_a_state_that_is_no_number_prints_nothing(cell, value, recwarn):
    decoder = decoder_of(cell)
    state = [{name: torch.full_like(held, value) for name, held in layer.items()} for layer in decoder.initial_state(2)]
    decoder.step(torch.tensor([1, 2]), state)
    decoder.model.decoder().read(torch.tensor([[1, 2]]), state)
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]
