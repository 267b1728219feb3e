"""A whole sequence as one node of autograd is the loop over the cell's step: outputs, states and every gradient."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from cells import layer as layers
from cells import whole_loops
from cells.errors import CelloquyError
from cells.gru import GRU
from cells.kernels import builtin_kernel
from cells.layer import Layer
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.regularise import Regularisation
from cells.rnn import RNN

BATCH, INPUT, HIDDEN = 5, 8, 32
CELLS = pytest.mark.parametrize(
    "cell", [RNN(), RNN(activation="relu"), GRU(), LSTM()], ids=["rnn", "relu", "gru", "lstm"]
)
CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 5e-3}


def layer_of(cell, dtype):
    torch.manual_seed(1)
    layer = Layer(cell, INPUT, HIDDEN).to(torch.float64 if dtype == torch.float64 else torch.float32)
    layer.compute_dtype = dtype
    with torch.no_grad():
        for vector in layer.p.values():
            vector.normal_()
    return layer


def pass_through(layer, whole, length, times=1):
    """Outputs, states after and all gradients, for random input, states and gradients from above."""
    layer.whole = whole
    layer.zero_grad()
    torch.manual_seed(2)
    wide = layer.W.dtype
    x = torch.randn(length, BATCH, INPUT, dtype=wide, requires_grad=True)
    start = {name: torch.randn(BATCH, HIDDEN, dtype=wide, requires_grad=True) for name in layer.cell.state}
    y, after = layer(x, start)
    found = [y, *(after[name] for name in layer.cell.state)]
    above = [torch.randn_like(value) for value in found]
    for _ in range(times):
        torch.autograd.backward(found, above, retain_graph=True)
    gradients = [x.grad, *(value.grad for value in start.values()), *(value.grad for value in layer.parameters())]
    return [value.detach() for value in (*found, *gradients)]


def taken(monkeypatch):
    """The list of cells for which a whole loop was taken."""
    cells = []

    def watching(layer, projected, state):
        done = whole_loops.whole_loop(layer, projected, state)
        if done is not None:
            cells.append(layer.cell)
        return done

    monkeypatch.setattr(layers, "whole_loop", watching)
    return cells


@CELLS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("length", [1, 2, 7])
def test_it_is_the_loop(cell, dtype, length, monkeypatch):
    cells = taken(monkeypatch)
    layer = layer_of(cell, dtype)
    for one, other in zip(pass_through(layer, True, length), pass_through(layer, False, length), strict=True):
        assert (one - other).norm() <= CLOSE[dtype] * (1e-6 + other.norm())
    assert cells == [cell]


@CELLS
@pytest.mark.parametrize("length", [3, 4, 11])
def test_the_weight_gradient_is_gathered_pile_by_pile(cell, length, monkeypatch):
    layer = layer_of(cell, torch.float64)
    expected = pass_through(layer, False, length)
    monkeypatch.setattr(whole_loops, "PILE", 4)
    for one, other in zip(pass_through(layer, True, length), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13)


@CELLS
def test_a_kept_graph_may_be_gone_through_again(cell):
    layer = layer_of(cell, torch.float64)
    twice = pass_through(layer, True, 6, times=2)
    for one, other in zip(twice, pass_through(layer, False, 6, times=2), strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13)


def test_nothing_is_kept_once_the_outputs_are_gone():
    layer = layer_of(LSTM(), torch.float32)
    layer.whole = True
    gc.disable()
    try:
        y, after = layer(torch.randn(4, BATCH, INPUT))
        gone = weakref.ref(y.grad_fn)
        assert gone() is not None
        del y, after
        assert gone() is None
    finally:
        gc.enable()


def test_a_masked_matrix_gets_its_gradient_behind_the_mask():
    layer = layer_of(GRU(), torch.float64)
    mask = (torch.arange(layer.R["h"].numel()).view_as(layer.R["h"]) % 3 > 0).double()
    own = layer.R["h"]
    found = []
    for whole in (True, False):
        layer.whole = whole
        layer.zero_grad()
        layer.R._parameters["h"] = own * mask
        torch.manual_seed(3)
        layer(torch.randn(5, BATCH, INPUT, dtype=torch.float64))[0].square().sum().backward()
        layer.R._parameters["h"] = own
        found.append(own.grad)
        own.grad = None
    assert torch.allclose(*found, rtol=1e-12, atol=1e-13)
    assert (found[0][mask == 0] == 0).all()


def test_where_it_is_taken(monkeypatch):
    """In training, for the built-in cells as they are; never where steps are asked for."""
    cells = taken(monkeypatch)

    class Mine(LSTM):
        """Somebody's own equations, perhaps."""

    def loss(cell, **options):
        model = LanguageModel(cell, ModelConfig(7, 16, num_layers=2), **options)
        return model(torch.zeros(3, 2, dtype=torch.int64))[0].sum()

    own = LSTM()
    loss(own).backward()
    assert cells == [own, own]
    with torch.no_grad():
        loss(LSTM())
    loss(Mine())
    loss(LSTM(), kernels=None)
    layer = layer_of(LSTM(), torch.float32)
    layer(torch.randn(3, BATCH, INPUT))
    layer.whole = True
    layer(torch.randn(3, BATCH, INPUT), mask=torch.ones(3, BATCH, dtype=torch.bool))
    assert cells == [own, own]


def test_the_state_after_does_not_keep_the_outputs_alive():
    for cell in (RNN(), GRU(), LSTM()):
        layer = layer_of(cell, torch.float32)
        layer.whole = True
        _, after = layer(torch.randn(9, BATCH, INPUT))
        assert {value.untyped_storage().nbytes() for value in after.values()} == {BATCH * HIDDEN * 4}


@CELLS
def test_a_state_that_does_not_fit_is_told_as_the_loop_tells_it(cell):
    layer = layer_of(cell, torch.float32)
    x = torch.randn(2, 3, INPUT)
    for rows, width in ((1, HIDDEN), (2, HIDDEN), (3, HIDDEN + 1)):
        said = []
        for whole in (True, False):
            layer.whole = whole
            with pytest.raises(CelloquyError) as told:
                layer(x, {name: torch.zeros(rows, width) for name in cell.state})
            said.append(str(told.value))
        assert said[0] == said[1]


@CELLS
@pytest.mark.parametrize(
    "sizes",
    [
        {"num_layers": 2, "norm": "layer", "residual": True},
        {"tie": True, "labels": 3, "label_size": 5},
        {"num_layers": 2, "embedding_size": 9},
    ],
    ids=["norm", "labels", "layers"],
)
def test_a_model_has_the_gradients_of_its_steps(cell, sizes):
    """Longer than the blocks in which the input is projected, with masked weights."""
    found = []
    for finder in (None, builtin_kernel):
        torch.manual_seed(4)
        model = LanguageModel(cell, ModelConfig(7, 16, **sizes), kernels=finder).double().train()
        tokens = torch.randint(0, 7, (150, 2))
        with Regularisation(weights=0.3, embedding=0.2).masked(model):
            logits, state = model(tokens)
            loss = logits.square().mean() + sum(value.square().sum() for layer in state for value in layer.values())
            loss.backward()
        found.append([loss.detach(), *(value.grad for value in model.parameters() if value.grad is not None)])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_nothing_is_kept_for_a_backward_pass_that_cannot_come(monkeypatch):
    cells = taken(monkeypatch)
    layer = layer_of(GRU(), torch.float32).requires_grad_(False)
    layer.whole = True
    layer(torch.randn(3, BATCH, INPUT))
    assert cells == []


@CELLS
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("length", [1, 5, whole_loops.PIECE, whole_loops.PIECE + 1, 3 * whole_loops.PIECE - 2])
def test_tokens_enter_step_by_step_as_they_do_all_at_once(cell, dtype, length):
    """And their table's gradient is put together piece by piece; some tokens come often, and one never."""
    layer = layer_of(cell, dtype)
    table = torch.randn(9, layer.W.shape[0], dtype=layer.W.dtype, requires_grad=True)
    tokens = torch.randint(0, 8, (length, BATCH))
    found = []
    for at_once in (True, False):
        layer.zero_grad()
        table.grad = None
        torch.manual_seed(2)
        start = {n: torch.randn(BATCH, HIDDEN, dtype=table.dtype, requires_grad=True) for n in cell.state}
        if at_once:
            layer.whole = False
            y, after = layer.run(torch.nn.functional.embedding(tokens, table), start)
        else:
            done = whole_loops.whole_loop_of_tokens(layer, table, tokens, start)
            assert done is not None
            y, after = done
        outputs = [y, *(after[name] for name in cell.state)]
        torch.autograd.backward(outputs, [torch.randn_like(value) for value in outputs])
        gradients = [table.grad, layer.R["h"].grad, *(value.grad for value in start.values())]
        found.append([value.detach().clone() for value in (*outputs, *gradients)])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= CLOSE[dtype] * (1e-6 + other.norm())
    assert (found[1][len(outputs)][8] == 0).all()


def test_a_large_table_is_gathered_as_a_whole():
    layer = layer_of(LSTM(), torch.float32)
    state = layer.initial_state(2)
    tokens = torch.zeros(3, 2, dtype=torch.int64)
    rows = whole_loops.PIECE * 2
    assert whole_loops.whole_loop_of_tokens(layer, torch.zeros(rows, len(layer.W)), tokens, state) is not None
    assert whole_loops.whole_loop_of_tokens(layer, torch.zeros(rows + 1, len(layer.W)), tokens, state) is None


def test_a_model_reads_its_tokens_step_by_step_where_it_trains(monkeypatch):
    """The first layer's projected input is nowhere as a whole, [T, B, G H]: neither forwards nor backwards."""
    model = LanguageModel(LSTM(), ModelConfig(7, 64))
    tokens = torch.randint(0, 7, (40, 4))
    asked = []
    whole = whole_loops.whole_loop_of_tokens
    monkeypatch.setattr(layers, "whole_loop_of_tokens", lambda *given: asked.append(whole(*given)) or asked[-1])
    model(tokens)[0].sum().backward()
    assert len(asked) == 1
    assert asked[0] is not None
    stepping = LanguageModel(LSTM(), ModelConfig(7, 64), kernels=None)
    stepping(tokens)
    assert len(asked) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_numbers_that_numpy_does_not_know_go_by_step(dtype):
    model = LanguageModel(LSTM(), ModelConfig(7, 16)).to(dtype)
    logits, _ = model(torch.randint(0, 7, (20, 3)))
    logits.float().square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
