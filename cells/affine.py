"""What an affine cell's step does to its state: new = a s + b for each unit, with a and b functions of the input alone.

``step`` is called once for many steps of time, with a stand-in for the state that keeps count: beside what the author
wrote for the gates nothing is computed but a and b. Where a step does something with its state that the stand-in does
not follow, both are found by forward differentiation of ``step`` at a state of zero, in more time.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Number = Tensor | float
States = Callable[..., tuple[Tensor, ...]]


class NotFollowed(Exception):
    """The stand-in does not know what this makes of a state."""


class StandIn:
    """``a`` s + ``b`` for a state s of this ``dtype`` that is not known; what a step may do with it is in
    :data:`_RULES`."""

    def __init__(self, dtype: torch.dtype, a: Number = 1.0, b: Number = 0.0) -> None:
        self.dtype = dtype
        self.a = a
        self.b = b

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> StandIn:
        rule = _RULES.get(getattr(function, "__name__", ""))
        if rule is None or kwargs:
            raise NotFollowed
        return rule(*args)

    def __eq__(self, other: object) -> bool:
        raise NotFollowed

    def __bool__(self) -> bool:
        raise NotFollowed

    def __neg__(self) -> StandIn:
        return _product(self, -1.0)

    def __add__(self, other: Any) -> StandIn:
        return _sum(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> StandIn:
        return _difference(self, other)

    def __rsub__(self, other: Any) -> StandIn:
        return _difference(other, self)

    def __mul__(self, other: Any) -> StandIn:
        return _product(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> StandIn:
        return _quotient(self, other)


def _parts(one: Any, other: Any) -> tuple[torch.dtype, Number, Number, Number, Number]:
    """The dtype of the state in one of two operands, and a and b of both; of what is constant in it, a is 0.0."""
    dtype = (one if isinstance(one, StandIn) else other).dtype
    return dtype, *_coefficients(one, dtype), *_coefficients(other, dtype)


def _coefficients(value: Any, dtype: torch.dtype) -> tuple[Number, Number]:
    if isinstance(value, StandIn):
        return value.a, value.b
    if isinstance(value, int | float):
        return 0.0, float(value)
    if not isinstance(value, Tensor) or value.dtype != dtype:  # two masks, say, would be added up as masks
        raise NotFollowed
    return 0.0, value


def _is(value: Number, number: float) -> bool:
    return isinstance(value, float) and value == number


def _plus(one: Number, other: Number) -> Number:
    if _is(one, 0.0):
        return other
    return one if _is(other, 0.0) else one + other


def _times(one: Number, other: Number) -> Number:
    if _is(one, 0.0) or _is(other, 0.0):
        return 0.0
    if _is(one, 1.0):
        return other
    return one if _is(other, 1.0) else one * other


def _sum(one: Any, other: Any) -> StandIn:
    dtype, a, b, c, d = _parts(one, other)
    return StandIn(dtype, _plus(a, c), _plus(b, d))


def _difference(one: Any, other: Any) -> StandIn:
    dtype, a, b, c, d = _parts(one, other)
    return StandIn(dtype, _plus(a, -c), _plus(b, -d))


def _product(one: Any, other: Any) -> StandIn:
    dtype, a, b, c, d = _parts(one, other)
    if not _is(a, 0.0) and not _is(c, 0.0):
        raise NotFollowed
    return StandIn(dtype, _plus(_times(a, d), _times(b, c)), _times(b, d))


def _quotient(one: Any, other: Any) -> StandIn:
    dtype, a, b, c, d = _parts(one, other)
    if not _is(c, 0.0):
        raise NotFollowed
    return StandIn(dtype, a / d, b if _is(b, 0.0) else b / d)


def _lerp(start: Any, end: Any, weight: Any) -> StandIn:
    apart = _difference(end, start) if _has_state(end, start) else end - start
    return _addcmul(start, weight, apart)


def _addcmul(value: Any, one: Any, other: Any) -> StandIn:
    return _sum(value, _product(one, other) if _has_state(one, other) else one * other)


def _has_state(*values: Any) -> bool:
    return any(isinstance(value, StandIn) for value in values)


_RULES: dict[str, Callable[..., StandIn]] = {
    **dict.fromkeys(("add", "__add__"), _sum),
    **dict.fromkeys(("sub", "subtract", "__sub__"), _difference),
    "rsub": lambda one, other: _difference(other, one),
    **dict.fromkeys(("mul", "multiply", "__mul__"), _product),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__"), _quotient),
    **dict.fromkeys(("neg", "negative"), lambda one: _product(one, -1.0)),
    "lerp": _lerp,
    "addcmul": _addcmul,
}
"""What a function of torch, by its name, makes of states; with an option beside (alpha, out) none is followed."""


@functools.cache
def _prepare_forward_mode() -> None:
    """Let torch load its forward-mode tables, which warn of their own use of TorchScript: nothing a person can mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        one = torch.ones(())
        torch.func.jvp(torch.sigmoid, (one,), (one,))


def by_differentiation(
    states: States, number: int, like: Tensor
) -> tuple[list[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """(columns, offsets) of ``states``, a map of ``number`` states, each of the shape of ``like``, to as many:
    columns[j][i] = d new_i / d old_j, and offsets[i] is new_i of states that are zero."""
    _prepare_forward_mode()
    zero, one = torch.zeros_like(like), torch.ones_like(like)
    at_zero = (zero,) * number
    offsets: tuple[Tensor, ...] = ()
    columns = []
    for old in range(number):
        tangents = tuple(one if other == old else zero for other in range(number))
        offsets, column = torch.func.jvp(states, at_zero, tangents)[:2]
        columns.append(column)
    return columns, offsets
