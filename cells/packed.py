"""Products with a fixed matrix, packed once and used at every step; private operators are probed, with a fallback."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Product = Callable[[Tensor], Tensor]


@functools.cache
def packing_works(dtype: torch.dtype) -> bool:
    """Whether oneDNN's packed linear exists on this machine for ``dtype`` and gives the right numbers.

    The operators are private to torch, so a release may drop or change them: any failure here means the plain product.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        weight = torch.linspace(-1, 1, 12).reshape(3, 4).to(dtype)
        rows = torch.linspace(1, -1, 8).reshape(2, 4).to(dtype)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 2)
        product = torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(product.float(), rows.float() @ weight.float().t(), atol=0.05)


def fixed_product(weight: Tensor, batch: int, bias: Tensor | None = None) -> Product:
    """``u -> u @ weight.T + bias`` for about ``batch`` rows, ``weight`` [out, in] packed if that helps on its device.

    Packed for 64 rows the product of a row comes out the same to the last bit however many rows stand beside it
    (packed for one row, or plain, it does not): decoding relies on that.
    """
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if weight.device.type == "cpu" and packing_works(weight.dtype):
        linear = torch.ops.mkldnn._linear_pointwise
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), batch)
        return lambda rows: linear(rows, packed, bias, "none", [], "")
    return lambda rows: F.linear(rows, weight, bias)


def once_product(left: Tensor, right: Tensor) -> Tensor:
    """``left.T @ right`` for tall matrices [N, m] and [N, n]: the one large product of a deferred weight gradient.

    In float32 the packed linear wins although it copies both transposed; in bfloat16 the plain product does.
    """
    if left.device.type == "cpu" and left.dtype == torch.float32 and packing_works(left.dtype):
        linear = torch.ops.mkldnn._linear_pointwise
        product: Tensor = linear(left.t().contiguous(), right.t().contiguous(), None, "none", [], "")
        return product
    return left.t() @ right
