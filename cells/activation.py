"""The hyperbolic tangent as training wants it: torch's own takes several times as long as its sigmoid on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Tanh(torch.autograd.Function):
    """2 sigmoid(2 x) - 1, and the gradient that autograd knows for tanh; keeps what tanh keeps, its result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x + x).sigmoid_().mul_(2).sub_(1)  # one block of memory: what is freed on the way leaves holes
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]


def tanh(x: Tensor) -> Tensor:
    """tanh(x), any shape. On a CPU, and where a gradient is wanted, to within 1e-7 instead of to the last bit.

    Training steps of the three are 4 to 8 % faster for it (``docs/performance.md``); a single row is faster by torch's
    own, which everything else therefore gets.
    """
    if x.requires_grad and x.is_cpu and torch.is_grad_enabled():
        return _Tanh.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    return torch.tanh(x)
