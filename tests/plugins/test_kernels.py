"""A kernel of anybody's is used only where it agrees with the cell's step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, tanh

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.model import LanguageModel, ModelConfig
from plugins.hookspecs import hookimpl
from plugins.kernels import FencedKernel, random_case
from plugins.registry import Registry, load_plugins

CPU = torch.device("cpu")


class Peeping(Cell):
    """A cell with everything a gradient can be wrong in: input, matrix, bias, vector, two states."""

    input = "h"
    recurrent = {"h": "h"}
    state = {"h": 0.0, "a": 0.0}
    vectors = {"v": 0.5}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One step."""
        h = tanh(x.h + R.h(s.h).h + p.v * s.a)
        return {"h": h, "a": 0.5 * s.a + h}


def right(layer: Any, x: Tensor, state: dict[str, Tensor]) -> Any:
    """The same recurrence written out by hand."""
    h, a = state["h"], state["a"]
    outputs = []
    for row in x:
        h = tanh(row @ layer.W.t() + layer.b + h @ layer.R["h"].t() + layer.p["v"] * a)
        a = 0.5 * a + h
        outputs.append(h)
    return torch.stack(outputs), {"h": h, "a": a}


def registry_with(kernel: Any, notices: list[str] | None = None) -> Registry:
    """A registry where a plugin object offers ``kernel`` (or raises it) for Peeping."""

    class Plugin:
        @hookimpl
        def cell_kernel(self, cell: Any, device: Any, dtype: Any, training: bool) -> Any:
            """The hook under test."""
            if isinstance(kernel, BaseException):
                raise kernel
            return kernel if isinstance(cell, Peeping) else None

    registry = load_plugins(builtin=[Plugin()])
    if notices is not None:
        registry.on_notice = notices.append
    return registry


def find(registry: Registry, training: bool = True, dtype: torch.dtype = torch.float32) -> Any:
    return registry.kernel_finder()(Peeping(), CPU, dtype, training)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_kernel_that_agrees_is_used(training: bool, dtype: torch.dtype) -> None:
    notices: list[str] = []
    assert isinstance(find(registry_with(right, notices), training, dtype), FencedKernel)
    assert notices == []


def detached(layer: Any, x: Tensor, state: Any) -> Any:
    y, final = right(layer, x, {"h": state["h"].detach(), "a": state["a"]})
    return y, final


def without_bias(layer: Any, x: Tensor, state: Any) -> Any:
    with torch.no_grad():
        bias = layer.b.clone()
    y, final = right(layer, x, state)
    return y - 0 * bias.sum() + 0.01 * layer.b.sum(), final


def wrong_state(layer: Any, x: Tensor, state: Any) -> Any:
    y, final = right(layer, x, state)
    return y, {**final, "a": final["a"] + 0.01}


def frozen_vector(layer: Any, x: Tensor, state: Any) -> Any:
    class Frozen:
        W, b, R = layer.W, layer.b, layer.R
        p = {"v": layer.p["v"].detach()}

    return right(Frozen, x, state)


def made_of_nan(layer: Any, x: Tensor, state: Any) -> Any:
    y, final = right(layer, x, state)
    return y * float("nan"), final


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (detached, "the gradient of state h"),
        (without_bias, "the outputs"),
        (wrong_state, "final state a"),
        (frozen_vector, "the gradient of p.v"),
        (made_of_nan, "the outputs"),
    ],
)
def test_disagreement_is_reported_once_and_the_loop_runs(kernel: Any, told: str) -> None:
    notices: list[str] = []
    registry = registry_with(kernel, notices)
    assert find(registry) is None
    assert find(registry) is None
    assert len(notices) == 1
    assert f"disagrees with its step on {told} by" in notices[0]
    assert "celloquy" in notices[0]


def test_inference_kernel_needs_no_gradient_and_is_never_used_for_one() -> None:
    kernel = find(registry_with(detached), training=False)
    assert isinstance(kernel, FencedKernel)
    case = random_case(Peeping())
    h = case.state["h"].clone().requires_grad_()
    y, _ = kernel(case.layer, case.x, {**case.state, "h": h})
    (gradient,) = torch.autograd.grad(y.sum(), h)
    assert gradient.abs().max() > 0


def test_exception_of_the_hook_is_an_error_that_names_the_plugin() -> None:
    with pytest.raises(CelloquyError, match=r"^kernel of celloquy.* for cell Peeping: ValueError: bad"):
        find(registry_with(ValueError("bad")))


def short(layer: Any, x: Tensor, state: Any) -> Any:
    y, final = right(layer, x, state)
    return y[:-1], final


def raising(layer: Any, x: Tensor, state: Any) -> Any:
    raise RuntimeError("no memory")


def stateless(layer: Any, x: Tensor, state: Any) -> Any:
    return right(layer, x, state)[0], {}


def in_place(layer: Any, x: Tensor, state: Any) -> Any:
    y, final = right(layer, x, state)
    with torch.no_grad():
        state["h"].zero_()
    return y, final


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (short, "the output must have shape (6, 4, 32), not (5, 4, 32)"),
        (raising, "RuntimeError: no memory"),
        (stateless, "must return the final states h, a"),
        (in_place, "changes its input or the state"),
        ("a text", "'a text' is not a function"),
    ],
)
def test_kernel_that_fails_is_an_error_that_names_the_plugin(kernel: Any, told: str) -> None:
    with pytest.raises(CelloquyError, match=r"^kernel of celloquy.* for cell Peeping: ") as caught:
        find(registry_with(kernel))
    assert told in str(caught.value)


def test_kernel_that_fails_later_is_an_error_and_no_silent_fallback() -> None:
    def fails_at_length_nine(layer: Any, x: Tensor, state: Any) -> Any:
        if x.shape[0] == 9:
            raise RuntimeError("nine")
        return right(layer, x, state)

    registry = registry_with(fails_at_length_nine)
    model = LanguageModel(Peeping(), ModelConfig(vocabulary_size=5, hidden_size=8), kernels=registry.kernel_finder())
    model(torch.zeros(8, 2, dtype=torch.int64))
    with pytest.raises(CelloquyError, match="RuntimeError: nine"):
        model(torch.zeros(9, 2, dtype=torch.int64))


def test_model_with_a_kernel_computes_what_the_loop_computes() -> None:
    tokens = torch.arange(14).reshape(7, 2) % 5
    torch.manual_seed(0)
    model = LanguageModel(Peeping(), ModelConfig(vocabulary_size=5, hidden_size=8, num_layers=2), kernels=None)
    expected, _ = model(tokens)
    calls: list[int] = []

    def counting(layer: Any, x: Tensor, state: Any) -> Any:
        calls.append(x.shape[0])
        return right(layer, x, state)

    model.kernels = registry_with(counting).kernel_finder()
    found, _ = model(tokens)
    assert calls[-2:] == [7, 7]
    assert torch.allclose(found, expected, atol=1e-5)


def test_check_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    find(registry_with(right))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_built_in_kernels_agree_wherever_they_are_offered(name: str, training: bool, dtype: torch.dtype) -> None:
    from cells.kernels import FUSED
    from plugins.kernels import disagreement

    cell = load_plugins().create_cell(name)
    assert disagreement(FUSED[type(cell)], cell, CPU, dtype, training) == ""


def test_stranger_is_asked_before_the_built_in_kernels() -> None:
    seen: list[str] = []

    class Plugin:
        @hookimpl
        def cell_kernel(self, cell: Any, device: Any, dtype: Any, training: bool) -> Any:
            """Declines, and remembers what it was asked."""
            seen.append(type(cell).__name__)

    registry = load_plugins(builtin=[Plugin()])
    finder = registry.kernel_finder()
    assert finder(registry.create_cell("lstm"), CPU, torch.float32, False) is not None
    finder(registry.create_cell("lstm"), CPU, torch.float32, False)
    assert seen == ["LSTM"]
