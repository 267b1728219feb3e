"""The check that a step does not look at the numbers it computes with: no branch, index or loop depends on them."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cells.errors import CelloquyError
from plugins.conformance.subject import Subject

READS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique", "_unique2")
"""Operators that turn a tensor's numbers into Python values or into shapes."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that reads data."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        indexes = func is torch.ops.aten.index.Tensor and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in READS or indexes:
            self.reads.append(name)
        return func(*args, **(kwargs or {}))


def data_reads(subject: Subject) -> list[str]:
    """The operators by which one step reads the data of a tensor."""
    arguments = subject.arguments(subject.case())
    watch = _Watch()
    with watch:
        arguments.call(subject.cell)
    return watch.reads


def no_data_dependent_branch(subject: Subject) -> None:
    """No ``if``, index or loop of the step depends on the numbers, so that it can be traced, compiled and fused."""
    reads = data_reads(subject)
    if reads:
        raise CelloquyError(f"step reads the numbers in a tensor ({reads[0]}); use torch.where instead of if")
