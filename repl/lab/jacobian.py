"""Products of a layer's step Jacobians: how much a change of the state k steps ago can still matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.layer import Layer
from cells.state import LayerState
from cells.stepping import call_step
from repl.lab.replay import LayerReplay

EXACT = 256
"""Up to this many state coordinates the singular value is exact; beyond, power iteration on the same matrix."""

ITERATIONS = 60


def jacobian_products(run: LayerReplay, row: int = 0, lags: int | None = None) -> list[float]:
    """The natural log of the largest singular value of J_t J_{t-1} ... J_{t-k+1}, for k = 1 .. ``lags``.

    t is the last step of one row of the batch; J_t = d s_t / d s_{t-1} over all states of the layer side by side
    (h and c of an LSTM: 2 H coordinates), the input held fixed: Pascanu, Mikolov and Bengio 2013, eq. 5. The product
    is carried as a matrix through the step's own vector-Jacobian product and rescaled at every step, so nothing
    under- or overflows; a product that is 0 gives minus infinity.
    """
    length = len(run.states)
    lags = min(lags or length - 1, length - 1)
    size = run.layer.hidden_size * len(run.start)
    product = torch.eye(size, dtype=run.gates.dtype, device=run.gates.device)
    scale = 0.0
    found: list[float] = []
    for k in range(1, lags + 1):
        t = length - k
        old = {name: value[row].detach() for name, value in run.states[t - 1].items()}
        product = vector_jacobian(run.layer, run.gates[t, row].detach(), old, product)
        norm = float(torch.linalg.matrix_norm(product))
        if not 0.0 < norm < math.inf:
            found += [-math.inf if norm == 0.0 else math.nan] * (lags + 1 - k)
            break
        product = product / norm
        scale += math.log(norm)
        found.append(scale + math.log(largest_singular_value(product)))
    return found


def vector_jacobian(layer: Layer, gates: Tensor, state: LayerState, rows: Tensor) -> Tensor:
    """``rows`` [N, S H] times the step's Jacobian at one place: gates [G, H], state name -> [H]."""
    count = rows.shape[0]
    old = {name: value.expand(count, -1).clone().requires_grad_() for name, value in state.items()}
    with torch.enable_grad():
        x = GateBundle(gates.expand(count, *gates.shape), layer.gates)
        new = call_step(layer.cell, x, old, plain_products(layer), named(dict(layer.p)))
        total = (torch.cat(list(new.values()), 1) * rows).sum()
    found = torch.autograd.grad(total, list(old.values()), allow_unused=True)
    return torch.cat([torch.zeros_like(rows[:, : layer.hidden_size]) if g is None else g for g in found], 1)


def plain_products(layer: Layer) -> SimpleNamespace:
    """The layer's recurrent products as ordinary linear maps, without the engine's packing."""

    def product(weight: Tensor, names: Sequence[str]):  # type: ignore[no-untyped-def]
        return lambda rows: GateBundle(F.linear(rows, weight).view(-1, len(names), weight.shape[1]), tuple(names))

    return named({name: product(layer.R[name].detach(), names) for name, names in layer.recurrent_gates.items()})


def largest_singular_value(matrix: Tensor) -> float:
    """The spectral norm: exact for small matrices, by power iteration on M^T M for large ones (a lower bound)."""
    if matrix.shape[0] <= EXACT:
        return float(torch.linalg.matrix_norm(matrix, ord=2))
    generator = torch.Generator(device=matrix.device).manual_seed(0)
    vector = torch.randn(matrix.shape[1], generator=generator, dtype=matrix.dtype, device=matrix.device)
    for _ in range(ITERATIONS):
        vector = matrix.t() @ (matrix @ (vector / vector.norm()))
    return float(vector.norm().sqrt())
