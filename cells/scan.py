"""Affine cells: the step is probed for its coefficients over all time at once, then only a scan remains.

An affine cell's new state is M_t s + b_t for each unit, with M_t and b_t functions of the input alone. Both are exact
directional derivatives and values of ``step`` itself, so the author writes no second function.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cells.bundle import GateBundle
from cells.cell import Cell

Step = Callable[[GateBundle, dict[str, Tensor]], dict[str, Tensor]]


class _DiagonalScan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t, all [T, B, H]; the adjoint is the same recurrence backwards in time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        out = torch.empty_like(b)
        previous = start
        for here, factor, offset in zip(out.unbind(0), a.unbind(0), b.unbind(0), strict=True):
            torch.addcmul(offset, factor, previous, out=here)
            previous = here
        ctx.save_for_backward(a, out, start)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, out, start = ctx.saved_tensors
        adjoint = gradient.clone(memory_format=torch.contiguous_format)
        steps = adjoint.unbind(0)
        for t in range(len(steps) - 2, -1, -1):
            steps[t].addcmul_(a[t + 1], steps[t + 1])
        to_a = torch.empty_like(a)
        torch.mul(adjoint[1:], out[:-1], out=to_a[1:])
        torch.mul(adjoint[0], start, out=to_a[0])
        return to_a, adjoint, a[0] * steps[0]


def diagonal_scan(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t for a, b [T, B, H] and h_0 = ``start`` [B, H]; returns all h, [T, B, H]."""
    result: Tensor = _DiagonalScan.apply(a.contiguous(), b.contiguous(), start)  # type: ignore[no-untyped-call]
    return result


def block_length(packed: Tensor) -> int:
    """Steps to scan at once for gates [T, B, G, H]: on a CPU as many as keep a tensor in the cache (5 times faster)."""
    elements = packed[0].select(-2, 0).numel()
    return max(1, (1 << 21 if packed.device.type == "cpu" else 1 << 27) // elements)


@functools.cache
def _prepare_forward_mode() -> None:
    """Let torch load its forward-mode tables, which warn of their own use of TorchScript: nothing a person can mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        one = torch.ones(())
        torch.func.jvp(torch.sigmoid, (one,), (one,))


def scan_affine(cell: Cell, step: Step, x: GateBundle, start: dict[str, Tensor], like: Tensor) -> dict[str, Tensor]:
    """Every state over all time, name -> [T, B, H], of an affine ``cell`` whose gates ``x`` are [T, B, G, H]."""
    _prepare_forward_mode()
    names = tuple(cell.state)
    zeros = {name: torch.zeros_like(like) for name in names}
    ones = torch.ones_like(like)

    def states(*old: Tensor) -> tuple[Tensor, ...]:
        new = step(x, dict(zip(names, old, strict=True)))
        return tuple(new[name].expand_as(like) for name in names)

    at_zero = tuple(zeros.values())
    offsets: tuple[Tensor, ...] = ()
    columns: list[tuple[Tensor, ...]] = []  # columns[j][i] = d new_i / d old_j
    for name in names:
        tangents = tuple(ones if other == name else zeros[other] for other in names)
        offsets, column = torch.func.jvp(states, at_zero, tangents)[:2]
        columns.append(column)
    if len(names) == 1:
        return {names[0]: diagonal_scan(columns[0][0], offsets[0], start[names[0]])}
    return _small_matrix_scan(names, columns, offsets, start)


def _small_matrix_scan(
    names: tuple[str, ...], columns: list[tuple[Tensor, ...]], offsets: tuple[Tensor, ...], start: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Several states: one S x S matrix for each unit and step. Used where states feed each other (SRU, for one)."""
    size = len(names)
    matrix = torch.stack([torch.stack(column, -1) for column in columns], -1)  # [T, B, H, new, old]
    offset = torch.stack(offsets, -1)  # [T, B, H, S]
    state = torch.stack([start[name] for name in names], -1)
    rows = []
    for m, b in zip(matrix.unbind(0), offset.unbind(0), strict=True):
        state = b + sum((m[..., old] * state[..., old, None] for old in range(size)), torch.zeros_like(b))
        rows.append(state)
    return dict(zip(names, torch.stack(rows).unbind(-1), strict=True))
