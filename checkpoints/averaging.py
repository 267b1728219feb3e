"""The mean of gradients over the processes of a run: by memory that all of them see, or by an all-reduce.

On one machine an all-reduce by gloo sends every byte through a socket: 5 MB take it 5 to 10 ms, and what lay in the
caches. Where all processes are on one machine and on its CPU, each writes its part into shared memory, they meet by a
message of four bytes, and each reads the others' parts.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from checkpoints.launch import here

LARGEST_SHARED = 1 << 25
"""Numbers of all processes together that are exchanged by shared memory, which holds them twice: 256 MB."""


class Processes(Protocol):
    """What is asked of the processes here; ``checkpoints.parallel.Ranks`` has it."""

    rank: int
    count: int

    def from_first(self, action: Any) -> Any:
        """What ``action`` gives on the first process, on every one."""

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of these numbers over the processes."""

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes."""


class AllReduce:
    """The mean by torch.distributed, in float32; on ``device`` if the processes' backend knows it."""

    def __init__(self, processes: Processes, size: int, device: torch.device) -> None:
        self.processes = processes
        self.count = processes.count
        self.flat = torch.empty(size, device=device if device.type in ("cpu", "cuda") else "cpu")

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean; all processes get the same bits."""
        torch._foreach_copy_(_views(self.flat, tensors), list(tensors))
        self.processes.add_up(self.flat)
        _take(self.flat, self.count, tensors)


class SharedMean:
    """The mean by ``memory`` [2, processes, numbers] in float32 that all processes see.

    Its two halves take turns: whoever writes into one again has met the others since, and they had read it before.
    """

    def __init__(self, processes: Processes, memory: Tensor) -> None:
        self.processes = processes
        self.rank = processes.rank
        self.count = processes.count
        self.memory = memory
        self.flat = torch.empty(memory.shape[2])
        self.turn = 0
        self.met = torch.zeros(1)

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean; all processes get the same bits."""
        parts = self.memory[self.turn].unbind(0)
        self.turn = 1 - self.turn
        torch._foreach_copy_(_views(parts[self.rank], tensors), list(tensors))
        self.processes.add_up(self.met)
        torch.add(parts[0], parts[1], out=self.flat)
        for part in parts[2:]:
            self.flat += part
        _take(self.flat, self.count, tensors)


def averaging(processes: Processes, size: int, device: torch.device) -> AllReduce | SharedMean:
    """The faster way for so many numbers on this device. All processes must ask alike."""
    together = device.type == "cpu" and here() == processes.count and processes.count * size <= LARGEST_SHARED
    if processes.total([float(together)])[0] == processes.count:
        memory = _shared_memory(processes, 2 * processes.count * size)
        if memory is not None:
            return SharedMean(processes, memory.view(2, processes.count, size))
    return AllReduce(processes, size, device)


def _shared_memory(processes: Processes, numbers: int) -> Tensor | None:
    """Memory for so many float32 numbers that all processes see, and that is gone with the last of them.

    None where the system has none, or one of them cannot reach it.
    """
    made = -1

    def make() -> list[Any] | None:
        nonlocal made
        try:
            made = os.memfd_create("celloquy")
            os.posix_fallocate(made, 0, 4 * numbers)  # all of it now: later there would be no way back
        except (AttributeError, OSError):
            return None
        return [f"/proc/{os.getpid()}/fd/{made}", *_identity(made)]

    place = processes.from_first(make)
    file, mapped = made, None
    if place is not None:
        path, *identity = place
        try:
            file = file if file >= 0 else os.open(path, os.O_RDWR)
            if _identity(file) == identity:  # where processes are numbered apart, it may be another one's
                mapped = mmap.mmap(file, 4 * numbers)
        except OSError:
            pass
    reached = processes.total([float(mapped is not None)])[0]
    if file >= 0:
        os.close(file)
    return torch.frombuffer(mapped, dtype=torch.float32) if mapped is not None and reached == processes.count else None


def _identity(file: int) -> list[int]:
    status = os.fstat(file)
    return [status.st_dev, status.st_ino, status.st_size]


def _views(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def _take(flat: Tensor, count: int, tensors: Sequence[Tensor]) -> None:
    flat /= count
    torch._foreach_copy_(list(tensors), _views(flat, tensors))
