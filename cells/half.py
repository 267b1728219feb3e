"""Products with a fixed matrix kept in 16 bits, where that loses nothing: half the weights' way through memory.

Numbers that were stored as bfloat16 or float16 (the checkpoints that ship; ``train --store bf16``) are float16 numbers
times one power of two, unless one of them is less than 2^-31 of the largest. FBGEMM's product takes such weights, and
computes in float32.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

LARGEST = 15
"""The largest weight is scaled to between 2^14 and 2^15: float16 ends at 65504."""

MOST = 100
"""Weights are doubled so many times at most: float32 ends at 2^128."""


@functools.cache
def halves_work() -> bool:
    """Whether torch has FBGEMM's product on this machine, right, and with rows that do not depend on their company.

    torch calls the two functions deprecated (and would warn of it, once), so a release may drop them: any failure means
    that products are made without.
    """
    warnings.filterwarnings("ignore", r"fbgemm_\w+ is deprecated", UserWarning)
    weight = torch.linspace(-1, 1, 97 * 96).reshape(97, 96).half().float()
    rows = torch.linspace(1, -1, 64 * 96).reshape(64, 96)
    bias = torch.linspace(0, 1, 97)
    try:
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        product = torch.fbgemm_linear_fp16_weight_fp32_activation(rows, packed, bias)
        single = torch.fbgemm_linear_fp16_weight_fp32_activation(rows[7:8], packed, bias)
    except (AttributeError, RuntimeError, TypeError):
        return False
    expected = rows.double() @ weight.double().t() + bias
    return torch.equal(single[0], product[7]) and torch.allclose(product.double(), expected, atol=1e-4)


def scaled_for_half(weight: Tensor) -> tuple[Tensor, float] | None:
    """``weight`` [out, in] times a power of two, of which float16 holds every number to its last bit; and that power.

    None if there is none. It is 1 or more, so that no number is lost by the scaling itself.
    """
    if not weight.numel():
        return None
    low, high = torch.aminmax(weight)
    largest = max(-float(low), float(high))
    if not 0 < largest < math.inf:
        return None
    exponent = LARGEST - math.frexp(largest)[1]
    if not 0 <= exponent <= MOST:
        return None
    scaled = weight * 2.0**exponent
    return (scaled, 2.0**exponent) if torch.equal(scaled.half().float(), scaled) else None


def half_product(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor] | None:
    """``u -> u @ weight.T + bias`` for float32 rows [B, in]; None where 16 bits do not hold ``weight``, or cannot be
    multiplied with. The product of a row is the same to the last bit however many rows stand beside it."""
    weight = weight.detach()
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not halves_work():
        return None
    found = scaled_for_half(weight)
    if found is None:
        return None
    scaled, scale = found
    linear = torch.fbgemm_linear_fp16_weight_fp32_activation
    packed = torch.fbgemm_pack_gemm_matrix_fp16(scaled.contiguous())
    added = weight.new_zeros(len(weight)) if bias is None else bias.detach().contiguous()
    back = 1.0 / scale
    return lambda rows: linear(rows * back, packed, added)
