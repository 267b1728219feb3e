"""What ``Cell.step`` is given: gates, state and parameters by name. Internals are underscored: gate names are free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from cells.errors import CelloquyError


class GateBundle:
    """Gates of one projection: ``z.f`` is gate f, [..., H]; ``a + b`` adds two bundles of the same gates."""

    _packed: Tensor
    _names: tuple[str, ...]

    def __init__(self, packed: Tensor, names: tuple[str, ...]) -> None:
        self._packed = packed  # [..., len(names), H]
        self._names = names

    @classmethod
    def of(cls, gates: Sequence[Tensor], names: tuple[str, ...]) -> GateBundle:
        """A bundle of gates that are apart already, each [..., H]."""
        bundle = cls(gates[0], names)
        del bundle._packed  # made where it is asked for
        bundle.__dict__.update(zip(names, gates, strict=True))
        return bundle

    def __getattr__(self, name: str) -> Tensor:
        # One unbind for all gates: its backward is one stack, where a select for each gate would fill and add a
        # whole bundle of zeros for each (40 % of an LSTM's training time). Afterwards they are plain attributes.
        if name == "_packed":
            return torch.stack([self.__dict__[gate] for gate in self._names], -2)
        if name not in self._names:
            raise AttributeError(f"no gate {name!r} here; there are {', '.join(self._names)}")
        gates = self.__dict__
        gates.update(zip(self._names, self._packed.unbind(-2), strict=True))
        gate: Tensor = gates[name]
        return gate

    def __add__(self, other: Any) -> GateBundle:
        if not isinstance(other, GateBundle):
            return NotImplemented
        if other._names != self._names:
            raise CelloquyError(
                f"gates {'/'.join(self._names)} and {'/'.join(other._names)} cannot be added; add them one by one"
            )
        return GateBundle(self._packed + other._packed, self._names)


def named(values: Mapping[str, Any]) -> SimpleNamespace:
    """The values as attributes: ``s.h`` for a state, ``p.i`` for a vector, ``R.h`` for a product."""
    return SimpleNamespace(**values)
