"""Training by graphs, with a grapher that needs no GPU: the same numbers, and the loop wherever they could be wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cells.graphed_loop import MOST, GraphedLoop
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from plugins.kernels import disagreement

CPU = torch.device("cpu")


class Grapher:
    """Works as graphs do: on its own places for input, results and gradients, and on the module's parameters."""

    def __init__(self):
        self.captured = 0
        self.runs = 0

    def __call__(self, module, examples):
        self.captured += 1
        places = list(examples)
        leaves = [value for value in (*places, *module.parameters()) if value.requires_grad]
        results, memory = [], {}
        outer = self

        class Replayed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *values):
                with torch.no_grad():
                    for place, value in zip(places, values, strict=False):
                        place.copy_(value)
                with torch.enable_grad():
                    memory["graph"] = module(*places)
                outer.runs += 1
                if not results:
                    results.extend(value.detach().clone() for value in memory["graph"])
                for place, value in zip(results, memory["graph"], strict=True):
                    place.copy_(value.detach())
                return tuple(value.detach() for value in results)

            @staticmethod
            def backward(ctx, *gradients):
                found = iter(torch.autograd.grad(memory["graph"], leaves, gradients, allow_unused=True))
                by_leaf = {id(leaf): gradient for leaf, gradient in zip(leaves, found, strict=True)}
                return tuple(by_leaf.get(id(value)) for value in (*places, *module.parameters()))

        return lambda *values: Replayed.apply(*values, *module.parameters())


def trained(cell, kernels, layers=2, lengths=(7, 7, 7)):
    """Losses and weights of some steps of training, the state carried over."""
    torch.manual_seed(0)
    model = LanguageModel(cell, ModelConfig(11, 16, num_layers=layers), kernels=kernels).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    state, losses = model.initial_state(3), []
    for length in lengths:
        logits, state = model(torch.randint(11, (length, 3)), state)
        state = [{name: value.detach() for name, value in layer.items()} for layer in state]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(11, (3 * length,)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    return torch.stack(losses), [value.detach() for value in model.parameters()]


def graphed(capture, told=None):
    """A finder that gives the same graphed loop for every layer."""
    kernel = GraphedLoop(capture)
    kernel.notice = (lambda message: None) if told is None else told.append
    return lambda cell, device, dtype, training: kernel if training else None


def test_training_by_graphs_goes_as_training_by_the_loop(cell):
    capture = Grapher()
    losses, weights = trained(cell, None)
    found, reached = trained(cell, graphed(capture))
    assert torch.allclose(losses, found, atol=1e-5)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(weights, reached, strict=True))
    assert capture.captured == 2, "once for each layer"
    assert capture.runs == 2 * (2 + 3), "two to compare, then one a step"


@pytest.mark.parametrize("training", [True, False])
def test_a_graphed_loop_agrees_as_every_kernel_must(cell, training):
    assert disagreement(GraphedLoop(Grapher()), cell, CPU, torch.float32, training) == ""


def test_only_so_many_shapes_are_captured():
    capture = Grapher()
    lengths = (3, 4, 5, 6, 3)
    assert len(trained(LSTM(), graphed(capture), 1, lengths)[0]) == len(lengths)
    assert capture.captured == MOST


def refuses(module, examples):
    raise RuntimeError("CUDA error: capture is not possible\nmore")


def wrong(module, examples):
    right = Grapher()(module, examples)

    def run(*values):
        y, *rest = right(*values)
        return (y * 1.01, *rest)

    return run


def frozen(module, examples):
    return lambda *values: module(*(value.detach().requires_grad_(value.requires_grad) for value in examples))


def without_gradient(module, examples):
    right = Grapher()(module, examples)
    return lambda *values: tuple(0.5 * value + 0.5 * value.detach() for value in right(*values))


OTHER = "the graphs of a loop give other numbers than the loop"


@pytest.mark.parametrize(
    ("capture", "reason"),
    [
        (refuses, "CUDA error: capture is not possible"),
        (wrong, OTHER),
        (frozen, OTHER),
        (without_gradient, OTHER),
    ],
)
def test_what_goes_wrong_is_told_once_and_the_loop_trains(capture, reason):
    told = []
    losses, weights = trained(LSTM(), None)
    found, reached = trained(LSTM(), graphed(capture, told))
    assert torch.allclose(losses, found, atol=1e-5)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(weights, reached, strict=True))
    assert told == [f"training of LSTM goes on without CUDA graphs: {reason}"]


def test_masked_weights_are_trained_by_the_loop():
    capture = Grapher()
    torch.manual_seed(0)
    model = LanguageModel(LSTM(), ModelConfig(11, 16), kernels=graphed(capture)).train()
    layer = model.recurrent_layers[0]
    layer.R._parameters["h"] = layer.R["h"] * 0.5
    model(torch.ones(5, 2, dtype=torch.int64))
    assert capture.captured == 0


def test_two_runs_before_a_gradient_both_have_their_own():
    """The second must not write over what the first's gradient needs."""

    def gradient(kernels):
        torch.manual_seed(0)
        model = LanguageModel(LSTM(), ModelConfig(11, 16), kernels=kernels).train()
        texts = torch.randint(11, (2, 5, 3))
        sum(model(text)[0].square().mean() for text in texts).backward()
        return model.recurrent_layers[0].R["h"].grad

    assert torch.allclose(gradient(None), gradient(graphed(Grapher())), atol=1e-6)


def test_weights_in_another_place_are_captured_anew():
    capture = Grapher()
    torch.manual_seed(0)
    model = LanguageModel(LSTM(), ModelConfig(11, 16), kernels=graphed(capture)).train()
    tokens = torch.ones(5, 2, dtype=torch.int64)
    for _ in range(2):
        model(tokens)[0].sum().backward()
    assert capture.captured == 1
    matrix = model.recurrent_layers[0].R["h"]
    matrix.data = matrix.data.clone()
    model(tokens)[0].sum().backward()
    assert capture.captured == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_graphs_train_as_the_loop_does(cell):
    for dtype in (torch.float32, torch.bfloat16):
        told = []
        kernel = GraphedLoop()
        kernel.notice = told.append
        assert disagreement(kernel, cell, torch.device("cuda"), dtype, True) == ""
        assert told == []
