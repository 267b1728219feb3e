"""Graphed decoding by recorders that need no GPU: the same bits, states that stay, the usual step on any failure."""

from __future__ import annotations

import threading

import pytest
import torch

from cells.graphs import AFTER, MOST, GraphedDecoder
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.state import clone, select

VOCABULARY = 37
SIZES = [{}, {"num_layers": 3}, {"num_layers": 2, "residual": True, "norm": "layer"}, {"labels": 3, "label_size": 5}]


class Recorder:
    """Does the work again at each replay and, as a graph does, leaves the result in the memory of the first."""

    def __init__(self, spoil=0.0):
        self.replays = 0
        self.spoil = spoil

    def __call__(self, work):
        work()
        result = work().clone()

        def replay():
            self.replays += 1
            result.copy_(work() + self.spoil)
            return result

        return replay


class Frozen(Recorder):
    """A capture that never looks at its inputs again."""

    def __call__(self, work):
        result = work()
        return lambda: result


def model_of(cell, **sizes):
    torch.manual_seed(0)
    return LanguageModel(cell, ModelConfig(VOCABULARY, 64, **sizes)).eval().requires_grad_(False)


def pair(cell, record=None, **sizes):
    """A decoder as usual and one with graphs, of the same model, and what the second has to say."""
    model, told = model_of(cell, **sizes), []
    model.notice = told.append
    return model.decoder(), GraphedDecoder(model, Recorder() if record is None else record), told


def bits(result):
    logits, state = result
    return [logits.numpy().tobytes(), *(value.numpy().tobytes() for layer in state for value in layer.values())]


@pytest.mark.parametrize("sizes", SIZES)
def test_a_text_decoded_by_graphs_has_the_bits_of_one_decoded_without(cell, sizes):
    record = Recorder()
    usual, graphed, told = pair(cell, record, **sizes)
    one, other = usual.initial_state(1), graphed.initial_state(1)
    for number in range(AFTER + 20):
        token = number * 7 % VOCABULARY
        expected, found = usual.step_one(token, one), graphed.step_one(token, other)
        assert bits(expected) == bits(found)
        one, other = expected[1], found[1]
    assert record.replays >= 20
    assert told == []


def test_batches_of_changing_size_have_the_same_bits(cell):
    usual, graphed, _ = pair(cell)
    one, other = usual.initial_state(6), graphed.initial_state(6)
    for rows in (6, 5, 3, 1):
        one, other = select(one, range(rows)), select(other, range(rows))
        for number in range(AFTER + 4):
            tokens = (torch.arange(rows) * 5 + number) % VOCABULARY
            expected, found = usual.step(tokens, one), graphed.step(tokens, other)
            assert bits(expected) == bits(found)
            one, other = expected[1], found[1]


def warm(decoder, batch=1):
    """The state after enough steps for a graph of this batch size."""
    state = decoder.initial_state(batch)
    for _ in range(AFTER + 2):
        _, state = decoder.step(torch.ones(batch, dtype=torch.int64), state)
    return state


def test_a_state_once_given_is_not_changed_by_later_steps(cell):
    _, graphed, _ = pair(cell)
    state = warm(graphed)
    kept, logits = clone(state), None
    for token in (3, 1, 4):
        logits, state = (
            graphed.step_one(token, state) if logits is None else (logits, graphed.step_one(token, state)[1])
        )
    first = graphed.step_one(3, kept)
    assert torch.equal(first[0], logits)
    again = graphed.step_one(3, kept)
    assert bits(first) == bits(again)


def test_two_texts_by_turns_do_not_disturb_each_other(cell):
    usual, graphed, _ = pair(cell)
    warm(graphed)
    states = [graphed.initial_state(1), graphed.initial_state(1)]
    expected = [usual.initial_state(1), usual.initial_state(1)]
    for tokens in ((3, 2), (1, 7), (4, 1)):
        for text, token in enumerate(tokens):
            found, wanted = graphed.step_one(token, states[text]), usual.step_one(token, expected[text])
            assert bits(found) == bits(wanted)
            states[text], expected[text] = found[1], wanted[1]


def test_the_states_given_back_are_contiguous_and_share_nothing_with_the_graph(cell):
    _, graphed, _ = pair(cell)
    state = warm(graphed, 3)
    assert all(value.is_contiguous() for layer in state for value in layer.values())
    before = bits((torch.zeros(1), state))
    warm(graphed, 3)
    assert bits((torch.zeros(1), state)) == before


def test_a_size_that_comes_up_seldom_gets_no_graph():
    record = Recorder()
    _, graphed, _ = pair(LSTM(), record)
    state = graphed.initial_state(2)
    for _ in range(AFTER):
        _, state = graphed.step(torch.tensor([1, 2]), state)
    assert record.replays == 0
    graphed.step(torch.tensor([1, 2]), state)
    assert record.replays > 0


def test_only_so_many_sizes_get_a_graph():
    made = []
    record = Recorder()
    _, graphed, told = pair(LSTM(), lambda work: made.append(1) or record(work))
    for batch in range(1, MOST + 4):
        warm(graphed, batch)
    assert len(made) == MOST
    assert told == []


def refuses(work):
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more lines")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (refuses, "CUDA error: operation not permitted when stream is capturing"),
        (Recorder(spoil=1e-6), "a graph's step is not the step to the last bit"),
        (Frozen(), "a graph's step is not the step to the last bit"),
    ],
    ids=["no capture", "wrong numbers", "frozen"],
)
def test_what_goes_wrong_is_told_once_and_the_usual_step_taken(record, reason):
    usual, graphed, told = pair(LSTM(), record)
    one, other = usual.initial_state(1), graphed.initial_state(1)
    for number in range(AFTER + 6):
        expected, found = usual.step_one(number, one), graphed.step_one(number, other)
        assert bits(expected) == bits(found)
        one, other = expected[1], found[1]
    warm(graphed, 4)
    assert told == [f"decoding goes on without CUDA graphs: {reason}"]


def test_while_one_thread_uses_the_graph_another_takes_the_usual_step():
    inside, go_on = threading.Event(), threading.Event()

    class Waiting(Recorder):
        hold = False

        def __call__(self, work):
            replay = super().__call__(work)

            def waiting():
                if self.hold:
                    inside.set()
                    assert go_on.wait(30)
                return replay()

            return waiting

    record = Waiting()
    usual, graphed, _ = pair(LSTM(), record)
    state = warm(graphed)
    expected = usual.step_one(5, state)
    record.hold = True
    found = []
    thread = threading.Thread(target=lambda: found.append(graphed.step_one(5, state)))
    thread.start()
    assert inside.wait(30)
    assert bits(graphed.step_one(5, state)) == bits(expected)
    go_on.set()
    thread.join()
    assert bits(found[0]) == bits(expected)


def test_without_a_gpu_the_decoder_is_the_usual_one():
    assert not isinstance(model_of(LSTM()).decoder(), GraphedDecoder)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_graphs_write_what_the_steps_write(cell):
    model, told = model_of(cell).cuda(), []
    model.notice = told.append
    graphed = model.decoder()
    assert isinstance(graphed, GraphedDecoder)
    states = [graphed.initial_state(1)] * 2
    for number in range(40):
        usual = super(GraphedDecoder, graphed).step_one(number % VOCABULARY, states[0])
        found = graphed.step_one(number % VOCABULARY, states[1])
        assert bits((usual[0].cpu(), [])) == bits((found[0].cpu(), []))
        states = [usual[1], found[1]]
    assert told == []
