"""Decoding: what is worked out beforehand changes nothing, whichever way a state is come to."""

from __future__ import annotations

import pytest
import torch

from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
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
