"""The check that ``step`` is a function: the same arguments give the same result, and nothing else happens."""

from __future__ import annotations

import random
from typing import Any

import numpy
import torch
from torch import Tensor

from cells.errors import CelloquyError
from plugins.conformance.subject import Subject
from plugins.guard import Divert


def purity(subject: Subject) -> None:
    """Twice the same result; arguments untouched; no random number, nothing printed, nothing kept on the cell."""
    cell = subject.cell
    arguments = subject.arguments(subject.case())
    before = {name: (value.detach().clone(), value._version) for name, value in arguments.tensors.items()}
    kept, dice = _fingerprint([vars(cell), _class_values(cell)]), _random_states()
    printed = Divert()
    with torch.no_grad(), printed:
        first, second = arguments.call(cell), arguments.call(cell)
    if printed.printed:
        raise CelloquyError("step prints to standard output")
    for name, (value, version) in before.items():
        now = arguments.tensors[name]
        if now._version != version or not torch.equal(now, value):
            raise CelloquyError(f"step changes its argument {name} in place")
    if _random_states() != dice:
        raise CelloquyError("step draws random numbers; give the randomness to the layers around the cell")
    if _fingerprint([vars(cell), _class_values(cell)]) != kept:
        raise CelloquyError("step keeps something on the cell (self); whatever must be remembered is a state")
    for name, value in first.items():
        if not torch.equal(value.nan_to_num(), second[name].nan_to_num()):
            raise CelloquyError(f"step gives another {name} when it is called again with the same arguments")


def _class_values(cell: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(type(cell)).items() if not name.startswith("__")}


def _random_states() -> list[Any]:
    state = numpy.random.get_state(legacy=False)
    return [torch.get_rng_state().tolist(), random.getstate(), repr(state)]


def _fingerprint(value: Any) -> Any:
    """Something that differs when ``value``, or what it contains, has changed."""
    if isinstance(value, dict):
        return [(str(key), _fingerprint(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [type(value).__name__, *map(_fingerprint, value)]
    if isinstance(value, Tensor):
        return (id(value), value._version)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    return id(value)
