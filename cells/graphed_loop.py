"""Training a cell without a kernel on a GPU: the whole loop over time as two CUDA graphs, forward and backward.

A loop of T steps launches a dozen small kernels for each, and the GPU waits for them; captured, they are launched as
one. The graphs work on the layer's own parameters, which an optimizer changes in place, and on fixed places for input
and state. What captures is handed in (a :data:`Grapher`), so that everything around it is tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cells.errors import CelloquyError
from cells.layer import Layer
from cells.state import LayerState

Grapher = Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., tuple[Tensor, ...]]]
"""(module, example arguments) -> a function of such arguments that runs the module, forward and backward."""

MOST = 2
"""Shapes of input for which a layer is captured; each holds the memory of a whole forward and backward pass."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Largest difference from the loop, relative to the largest entry: its sums may be added in another order."""


def cuda_grapher(module: nn.Module, examples: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, ...]]:
    """``torch.cuda.make_graphed_callables``; RuntimeError for what cannot be captured."""
    made: Any = torch.cuda.make_graphed_callables(module, examples, allow_unused_input=True)
    return made  # type: ignore[no-any-return]


class _Loop(nn.Module):
    """A layer's loop with tensors only: (projected [T, B, G H], each state [B, H]) -> (y [T, B, H], each state)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, projected: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Run over the projected input."""
        y, after = self.layer.run(projected, dict(zip(self.layer.cell.state, state, strict=True)))
        return (y, *(after[name] for name in self.layer.cell.state))


class _Graphs:
    """The two graphs of a layer and shape. The backward one needs what the last forward one left in their memory."""

    def __init__(self, run: Callable[..., tuple[Tensor, ...]]) -> None:
        self._run = run
        self.awaited = False

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The loop's results, in memory that the next call changes; ``awaited`` until their gradient is asked for."""
        results = self._run(*given)
        self.awaited = True
        results[0].register_hook(self._over)  # type: ignore[no-untyped-call]
        return results

    def _over(self, gradient: Tensor) -> None:
        self.awaited = False


class GraphedLoop:
    """A kernel (see ``cells.layer``) that runs a cell's loop as graphs, and as it is where that cannot be.

    Captured for each layer, shape and place of its parameters; compared with the loop on outputs, states and gradients
    before use. If a capture fails or differs, ``notice`` is told in one line, and all further calls take the loop. So
    does a second run of a layer before the gradient of the first was asked for.
    """

    def __init__(self, capture: Grapher = cuda_grapher) -> None:
        self.notice: Callable[[str], None] = lambda message: None
        self._capture = capture
        self._off = False

    def __call__(self, layer: Layer, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """As ``layer(x, state)``: x [T, B, I] -> y [T, B, H] and the final state."""
        given = (layer.project(x), *(state[name] for name in layer.cell.state))
        graphed = None if self._off or not torch.is_grad_enabled() else self._graphed(layer, given)
        y, *after = _Loop(layer)(*given) if graphed is None else graphed(*given)
        return y, dict(zip(layer.cell.state, after, strict=True))

    def _graphed(self, layer: Layer, given: tuple[Tensor, ...]) -> _Graphs | None:
        """The graphs for such arguments; None where they could not be right: for weights behind a mask, say."""
        inner = [*layer.R.values(), *layer.p.values()]
        if not given[0].requires_grad or not all(isinstance(value, nn.Parameter) for value in inner):
            return None
        key = (*((value.shape, value.dtype, value.requires_grad) for value in given), layer.product_dtype)
        key += tuple(value.data_ptr() for value in inner)
        known: dict[Any, _Graphs] = layer.__dict__.setdefault("graphed_loops", {})
        if key not in known:
            if len(known) == MOST:
                return None
            try:
                made = self._capture(_Loop(layer), tuple(map(_place, given)))
                _compare(layer, made, given)
            except (CelloquyError, RuntimeError, AssertionError) as error:  # what torch raises where it cannot capture
                self._off = True
                why = (str(error).strip().splitlines() or [type(error).__name__])[0]
                self.notice(f"training of {layer.cell.label} goes on without CUDA graphs: {why}"[:300])
                return None
            known[key] = _Graphs(made)
        return None if known[key].awaited else known[key]


def _place(value: Tensor) -> Tensor:
    """A copy with memory of its own, of the same kind for autograd."""
    return value.detach().clone().requires_grad_(value.requires_grad)


def _compare(layer: Layer, made: Callable[..., tuple[Tensor, ...]], given: tuple[Tensor, ...]) -> None:
    """CelloquyError unless both give nearly the same for what is given and for half of it, gradients included."""
    tolerance = TOLERANCE.get(layer.product_dtype, 1e-3)
    for scale in (1.0, 0.5):
        values = [(scale * value.detach()).requires_grad_(value.requires_grad) for value in given]
        expected, found = _results(layer, _Loop(layer), values), _results(layer, made, values)
        for one, other in zip(expected, found, strict=True):
            if not bool((one - other).abs().max() <= tolerance * (1e-6 + one.abs().max())):
                raise CelloquyError("the graphs of a loop give other numbers than the loop")


def _results(layer: Layer, run: Callable[..., tuple[Tensor, ...]], given: list[Tensor]) -> list[Tensor]:
    """Copies of outputs, final state, and the gradients of a sum over them for input, state and parameters."""
    results = run(*given)
    kept = [result.detach().clone() for result in results]
    wanted = [value for value in (*given, *layer.R.values(), *layer.p.values()) if value.requires_grad]
    weights = [torch.linspace(-1, 1, value.numel(), device=value.device).view_as(value) for value in results]
    total = torch.stack([(value * weight).sum() for value, weight in zip(results, weights, strict=True)]).sum()
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    pairs = zip(wanted, gradients, strict=True)
    return kept + [torch.zeros_like(one) if value is None else value.clone() for one, value in pairs]
