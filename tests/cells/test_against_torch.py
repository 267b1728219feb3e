"""The built-in cells are torch.nn's, with the same weights: outputs, final states and every gradient."""

from __future__ import annotations

import pytest
import torch

from cells.gru import GRU
from cells.kernels import FUSED, builtin_kernel
from cells.layer import Layer
from cells.lstm import LSTM
from cells.rnn import RNN

PAIRS = {
    "rnn": (RNN(), lambda i, h: torch.nn.RNN(i, h)),
    "rnn_relu": (RNN(activation="relu"), lambda i, h: torch.nn.RNN(i, h, nonlinearity="relu")),
    "lstm": (LSTM(), lambda i, h: torch.nn.LSTM(i, h)),
    "gru": (GRU(), lambda i, h: torch.nn.GRU(i, h)),
}
INPUT, H, T, B = 5, 16, 12, 4


def both(name, dtype):
    torch.manual_seed(0)
    cell, make = PAIRS[name]
    theirs = make(INPUT, H).to(dtype)
    ours = Layer(cell, INPUT, H).to(dtype)
    weight, recurrent, bias, second = theirs._flat_weights
    with torch.no_grad():
        ours.W.copy_(weight)
        ours.R["h"].copy_(recurrent)
        ours.b.copy_(bias)
        if name == "gru":
            ours.b[: 2 * H] += second[: 2 * H]
            ours.p["n"].copy_(second[2 * H :])
        else:
            ours.b.add_(second)
    return ours, theirs


def gradients(name, ours, theirs):
    yield ours.W.grad, theirs.weight_ih_l0.grad
    yield ours.R["h"].grad, theirs.weight_hh_l0.grad
    yield ours.b.grad, theirs.bias_ih_l0.grad
    if name == "gru":
        yield ours.p["n"].grad, theirs.bias_hh_l0.grad[2 * H :]


@pytest.mark.parametrize("fused", [False, True], ids=["loop", "kernel"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("name", list(PAIRS))
def test_outputs_states_and_gradients_equal_torch(name, dtype, tolerance, fused):
    ours, theirs = both(name, dtype)
    x = torch.randn(T, B, INPUT, dtype=dtype)
    start = {key: torch.randn(B, H, dtype=dtype) for key in ours.initial_state(B)}
    mine = {key: value.clone().requires_grad_() for key, value in start.items()}
    torchs = {key: value.clone().unsqueeze(0).requires_grad_() for key, value in start.items()}
    xs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    y, last = FUSED[type(ours.cell)](ours, xs[0], mine) if fused else ours(xs[0], mine)
    y2, last2 = theirs(xs[1], (torchs["h"], torchs["c"]) if name == "lstm" else torchs["h"])
    finals = dict(zip(("h", "c"), last2 if name == "lstm" else (last2,), strict=False))

    def close(left, right):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)

    close(y, y2)
    for key, value in finals.items():
        close(last[key], value[0])
    weights = torch.randn_like(y)
    ((y * weights).sum() + sum(value.sum() for value in last.values())).backward()
    ((y2 * weights).sum() + sum(value.sum() for value in finals.values())).backward()
    close(xs[0].grad, xs[1].grad)
    for key in start:
        close(mine[key].grad, torchs[key].grad[0])
    for left, right in gradients(name, ours, theirs):
        scale = right.abs().max()
        close(left / scale, right / scale)


def test_no_kernel_for_a_cell_that_only_looks_like_a_built_in_one():
    class Mine(LSTM):
        pass

    assert builtin_kernel(LSTM(), torch.device("cpu"), torch.float32, False) is not None
    assert builtin_kernel(Mine(), torch.device("cpu"), torch.float32, False) is None
    assert builtin_kernel(LSTM(), torch.device("meta"), torch.float32, False) is None
