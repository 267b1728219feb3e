"""Fused kernels of plugins: found by hook, held against the cell's ``step`` before use, fenced when they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.layer import Kernel, KernelFinder, Layer
from cells.state import LayerState
from plugins.guard import Blame

LENGTH, BATCH, INPUT, HIDDEN = 6, 4, 16, 32
"""The small random case on which a kernel must agree with ``step``: T, B, I, H."""

TOLERANCE = {torch.float64: 1e-8, torch.float32: 2e-4, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest difference allowed, relative to 1 + the largest entry of the reference (which is computed in float64)."""

TENSOR_CORES = 5e-3
"""The same for float32 on a GPU, where cuDNN multiplies in TF32."""


@dataclass(frozen=True)
class Case:
    """One layer of a cell, with an input and a state that the cell itself reached from random input."""

    layer: Layer
    x: Tensor  # [T, B, I]
    state: LayerState

    def to(self, device: torch.device, dtype: torch.dtype) -> Case:
        """The same case elsewhere; a half-precision ``dtype`` is that of the products only."""
        wide = dtype if dtype in (torch.float32, torch.float64) else torch.float32
        layer = Layer(self.layer.cell, self.layer.input_size, self.layer.hidden_size).to(device, wide)
        layer.load_state_dict(self.layer.state_dict())
        layer.compute_dtype = None if dtype == wide else dtype
        state = {name: value.to(device, wide) for name, value in self.state.items()}
        return Case(layer, self.x.to(device, wide), state)


def random_case(
    cell: Cell, length: int = LENGTH, batch: int = BATCH, inputs: int = INPUT, hidden: int = HIDDEN, scale: float = 1.0
) -> Case:
    """A case in float64 on the CPU, always the same for the same cell and sizes; the global generator is left alone.

    Biases and vectors move away from their declared values, so that a kernel which ignores them is found out.
    """
    generator = torch.Generator().manual_seed(20240607)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layer = Layer(cell, inputs, hidden).double()
        layer.W.copy_(normal(*layer.W.shape) * inputs**-0.5)
        layer.b.add_(0.3 * normal(*layer.b.shape))
        for matrix in layer.R.values():
            matrix.copy_(normal(*matrix.shape) * hidden**-0.5)
        for vector in layer.p.values():
            vector.add_(0.3 * normal(*vector.shape))
        _, state = layer(normal(3, batch, inputs))
    state = {name: value.clone() for name, value in state.items()}  # the numbers alone, whatever else the cell left
    return Case(layer, scale * normal(length, batch, inputs), state)


def _results(run: Callable[..., Any], case: Case, gradients: bool, who: str) -> dict[str, Tensor]:
    """Outputs, final state and, if asked, the gradient of every input and parameter, in float64 on the CPU."""
    x = case.x.clone().requires_grad_(gradients)
    state = {name: value.clone().requires_grad_(gradients) for name, value in case.state.items()}
    with torch.set_grad_enabled(gradients):
        y, final = run(case.layer, x, state)
    check_result(y, final, case.x, case.layer, who)
    if not torch.equal(x, case.x) or any(not torch.equal(state[name], case.state[name]) for name in state):
        raise CelloquyError(f"{who}: changes its input or the state it is given")
    found = {"the outputs": y, **{f"final state {name}": value for name, value in final.items()}}
    if gradients:
        loss = _weighted_sum(found)
        named: dict[str, Tensor] = {"the input": x, **{f"state {name}": value for name, value in state.items()}}
        named.update(case.layer.named_parameters())
        values = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for (name, like), value in zip(named.items(), values, strict=True):
            found[f"the gradient of {name}"] = torch.zeros_like(like) if value is None else value
    return {name: value.detach().to("cpu", torch.float64) for name, value in found.items()}


def _weighted_sum(values: dict[str, Tensor]) -> Tensor:
    """A loss to which every entry contributes its own weight, so that no two errors cancel."""
    total = torch.zeros((), dtype=torch.float64)
    for value in values.values():
        weights = torch.cos(torch.arange(1, value.numel() + 1, dtype=torch.float64)).reshape(value.shape)
        total = total + (value.to("cpu", torch.float64) * weights).sum()
    return total


def check_result(y: Any, state: Any, x: Tensor, layer: Layer, who: str) -> None:
    """Raise a CelloquyError unless a kernel's result has the right form: y [T, B, H] and every state [B, H]."""
    length, batch = x.shape[:2]
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {"the output": (y, (length, batch, layer.hidden_size))}
    if not isinstance(state, dict) or state.keys() != layer.cell.state.keys():
        raise CelloquyError(f"{who}: must return the final states {', '.join(layer.cell.state)} as a dict")
    for name, value in state.items():
        expected[f"final state {name}"] = (value, (batch, layer.hidden_size))
    for name, (value, shape) in expected.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CelloquyError(f"{who}: {name} must have shape {shape}, not {found}")


def disagreement(
    kernel: Kernel, cell: Cell, device: torch.device, dtype: torch.dtype, training: bool, who: str = "the kernel"
) -> str:
    """Where ``kernel`` differs from the cell's ``step`` on a small random case, in words; "" if it agrees.

    Outputs and final state are compared, and in training every gradient. Raises CelloquyError, beginning with
    ``who``, if the kernel itself fails.
    """
    case = random_case(cell)
    expected = _results(lambda layer, x, state: layer(x, state), case, training, f"cell {cell.label}")
    with torch.random.fork_rng(devices=[]):
        here = case.to(device, dtype)
    here.layer.train(training)
    with Blame(who):
        found = _results(kernel, here, training, who)
    exact = device.type == "cpu" or dtype != torch.float32
    tolerance = TOLERANCE.get(dtype, 5e-2) if exact else TENSOR_CORES
    for name, reference in expected.items():
        error = (found[name] - reference).abs().max().item()
        if not error <= tolerance * (1 + reference.abs().max().item()):
            return f"{name} by {error:.1e}"
    return ""


class FencedKernel:
    """An accepted kernel. An exception is an error that names the plugin, never a silent fallback."""

    def __init__(self, kernel: Kernel, who: str, training: bool) -> None:
        self._kernel = kernel
        self._who = who
        self._training = training

    def __call__(self, layer: Layer, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """The kernel's result; gradients of one that was asked for inference come from the loop."""
        if torch.is_grad_enabled() and not self._training:
            return layer(x, state)  # type: ignore[no-any-return]
        with Blame(self._who):
            y, after = self._kernel(layer, x, state)
        check_result(y, after, x, layer, self._who)
        return y, after


def find_kernel(hooks: Sequence[tuple[str, Callable[..., Any]]], notice: Callable[[str], None]) -> KernelFinder:
    """A finder that asks ``hooks`` (whose, and the hook) in turn; the first that does not decline is the one.

    It is checked once for each cell, options, device, dtype, mode and number of threads; ``notice`` is told of one that
    disagrees with ``step``, and the loop runs instead.
    """
    known: dict[tuple[Any, ...], Kernel | None] = {}

    def find(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
        options = tuple(sorted(cell.options.items()))
        key = (type(cell), options, str(device), dtype, training, torch.get_num_threads())
        if key not in known:
            known[key] = _choose(hooks, notice, cell, device, dtype, training)
        return known[key]

    return find


def _choose(
    hooks: Sequence[tuple[str, Callable[..., Any]]],
    notice: Callable[[str], None],
    cell: Cell,
    device: torch.device,
    dtype: torch.dtype,
    training: bool,
) -> Kernel | None:
    for owner, hook in hooks:
        who = f"kernel of {owner} for cell {cell.label}"
        with Blame(who):
            kernel = hook(cell=cell, device=device, dtype=dtype, training=training)
        if kernel is None:
            continue
        if not callable(kernel):
            raise CelloquyError(f"{who}: {kernel!r} is not a function (layer, x, state)")
        if hasattr(kernel, "notice"):
            kernel.notice = notice  # where one that knows a way back tells that it took it
        difference = disagreement(kernel, cell, device, dtype, training, who)
        if difference:
            notice(f"{who} disagrees with its step on {difference}; the loop runs instead")
            return None
        return FencedKernel(kernel, who, training)
    return None
