"""Training by several processes: each reads its own rows of the batch, gradients are summed, the first one writes.

Started by ``torchrun``, which tells each process its place in the environment. All processes hold the same weights and
take the same steps. What only the first can know (the clock, a signal, when to save) travels with the gradients, so a
step costs one exchange.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from cells.errors import CelloquyError

TIMEOUT = datetime.timedelta(minutes=30)
"""How long a process waits for the others; the first one validates and saves while they wait."""

LARGEST_DIMENSIONS = 8


class Ranks:
    """The processes of one training run. A run of a single process is one too, and exchanges nothing."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """This process's rows of a batch: the shares are contiguous and differ by one row at most.

        Raises CelloquyError if there are more processes than rows.
        """
        if batch < self.count:
            raise CelloquyError(f"{self.count} processes need a batch of at least {self.count} rows, not {batch}")
        return range(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)

    def sum(self, gradients: Sequence[Tensor], notes: Sequence[float] = ()) -> list[float]:
        """Replace every gradient by its sum over the processes, in float32; returns the sums of the notes.

        One exchange for all. A note that only the first process knows is 0 elsewhere. Raises CelloquyError if another
        process is lost.
        """
        if self.count == 1:
            return [float(note) for note in notes]
        device = gradients[0].device if gradients else torch.device("cpu")
        flat = torch.cat([*(g.reshape(-1).float() for g in gradients), torch.tensor(list(notes), device=device)])
        with told_if_lost():
            dist.all_reduce(flat)
        place = 0
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].view_as(gradient))
            place += gradient.numel()
        summed: list[float] = flat[place:].tolist()
        return summed

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """On the first process every process's tensors, in order of rank; elsewhere an empty list.

        All processes give the same names and dtypes; shapes may differ. Raises CelloquyError if a process is lost.
        """
        own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        if self.count == 1:
            return [own]
        with told_if_lost():
            if not self.first:
                for name in sorted(own):
                    dist.send(_shape(own[name]), 0)
                    dist.send(own[name], 0)
                return []
            everyone = [own]
            for rank in range(1, self.count):
                theirs = {}
                for name in sorted(own):
                    shape = torch.zeros(LARGEST_DIMENSIONS + 1, dtype=torch.int64)
                    dist.recv(shape, rank)
                    theirs[name] = torch.empty(shape[1 : 1 + int(shape[0])].tolist(), dtype=own[name].dtype)
                    dist.recv(theirs[name], rank)
                everyone.append(theirs)
            return everyone

    def wait(self) -> None:
        """Until every process is here. Raises CelloquyError if one is lost."""
        if self.count > 1:
            with told_if_lost():
                dist.barrier()


def _shape(tensor: Tensor) -> Tensor:
    """Number of dimensions and sizes, padded."""
    padded = torch.zeros(LARGEST_DIMENSIONS + 1, dtype=torch.int64)
    padded[0] = tensor.ndim
    padded[1 : 1 + tensor.ndim] = torch.tensor(tensor.shape)
    return padded


@contextmanager
def told_if_lost() -> Iterator[None]:
    """Turn the failure of an exchange into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise CelloquyError(
            "another process of this run is gone; what was saved is kept, the same command with --resume goes on"
        ) from error


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The processes that torchrun started, joined while entered; a single one where it did not start this.

    Gradients travel by gloo, which serves processes of one machine on CPUs and GPUs alike; nccl is taken where every
    process has a GPU of its own. Raises CelloquyError if the others do not come.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Ranks()
        return
    own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", count))
    if own_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with told_if_lost():
        # gloo as well as nccl: the gathering of small CPU tensors for a save goes by gloo.
        dist.init_process_group("cpu:gloo,cuda:nccl" if own_gpu else "gloo", timeout=TIMEOUT)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
