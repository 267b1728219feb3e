"""The recurrent product: differentiable as usual, but its weight gradient is one large product at the end.

Backpropagation through T steps adds T small outer products into a recurrent matrix's gradient. Here every step only
leaves its two factors on a shared desk, and a node that autograd must visit after all steps (each step's output depends
on it) multiplies them at once: dR = sum_t dz_t^T u_t = dZ^T U. Of a long sequence they are multiplied ``PILE`` steps at
a time, so that the desk never holds the factors of them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cells.bundle import GateBundle
from cells.packed import fixed_product, once_product

PILE = 128
"""Steps whose factors lie on the desk at most: enough for one product to be as fast as can be."""


class _Desk:
    """What the steps of one sequence share: the product both ways, and the factors of the weight gradient."""

    def __init__(self, weight: Tensor, batch: int, dtype: torch.dtype) -> None:
        self.weight = weight.detach().to(dtype)  # [out, in]
        self.sum_dtype = weight.dtype
        self.batch = batch
        self.dtype = dtype
        self.multiply = fixed_product(self.weight, batch)
        self.inputs: list[Tensor] = []  # u_t [B, in]
        self.gradients: list[Tensor] = []  # dz_t [B, out]
        self._sum: Tensor | None = None  # of the piles that are multiplied already
        self._multiply_back: Callable[[Tensor], Tensor] | None = None

    def leave(self, rows: Tensor, gradient: Tensor) -> None:
        """Keep one step's factors of the weight gradient."""
        self.inputs.append(rows)
        self.gradients.append(gradient)
        if len(self.inputs) == PILE:
            self._clear()

    def _clear(self) -> None:
        if self.inputs:
            part = once_product(torch.cat(self.gradients), torch.cat(self.inputs)).to(self.sum_dtype)
            self._sum = part if self._sum is None else self._sum.add_(part)
            self.inputs.clear()
            self.gradients.clear()

    def take(self) -> Tensor | None:
        """The weight gradient of all steps left here, [out, in]; None if there were none. The desk is empty then."""
        self._clear()
        found, self._sum = self._sum, None
        return found

    def multiply_back(self, rows: Tensor) -> Tensor:
        """dz R: the gradient that flows on to the step's input. Packed at its first use, so inference never pays."""
        if self._multiply_back is None:
            self._multiply_back = fixed_product(self.weight.t().contiguous(), self.batch)
        return self._multiply_back(rows)


class _Collect(torch.autograd.Function):
    """Identity on the weight; its backward runs after that of every step and makes the weight's gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, desk: _Desk) -> Tensor:
        ctx.desk = desk
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor | None) -> tuple[Tensor | None, None]:
        desk: _Desk = ctx.desk
        gradient = desk.take()
        return (upstream if gradient is None else gradient), None


class _Multiply(torch.autograd.Function):
    """One step's product u R^T; its backward sends the input's gradient on and leaves the weight's for later."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, desk: _Desk) -> Tensor:
        ctx.desk = desk
        low = rows.to(desk.dtype)
        ctx.save_for_backward(low)
        return desk.multiply(low).to(rows.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        desk: _Desk = ctx.desk
        (low,) = ctx.saved_tensors
        low_gradient = gradient.to(desk.dtype).contiguous()
        if ctx.needs_input_grad[1]:
            desk.leave(low, low_gradient)
        return desk.multiply_back(low_gradient).to(gradient.dtype), None, None


def recurrent_product(
    weight: Tensor, names: tuple[str, ...], batch: int, dtype: torch.dtype
) -> Callable[[Tensor], GateBundle]:
    """The function that a step calls as ``R.name(v)``: [B, H] -> the gates ``names``, [B, len(names), H].

    ``weight`` is [len(names) * H, H]; products are computed in ``dtype`` and returned in the input's. Made once for
    each sequence, because it holds the packed weight and the deferred gradient.
    """
    desk = _Desk(weight, batch, dtype)
    shape = (-1, len(names), weight.shape[1])
    if not torch.is_grad_enabled():

        def infer(rows: Tensor) -> GateBundle:
            return GateBundle(desk.multiply(rows.to(dtype)).to(rows.dtype).view(shape), names)

        return infer

    anchor = _Collect.apply(weight, desk)  # type: ignore[no-untyped-call]

    def differentiate(rows: Tensor) -> GateBundle:
        product: Tensor = _Multiply.apply(rows, anchor, desk)  # type: ignore[no-untyped-call]
        return GateBundle(product.view(shape), names)

    return differentiate
