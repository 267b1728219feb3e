"""Training by several processes: each reads its own rows of the batch, gradients are averaged, the first one writes.

``torchrun`` starts them and tells each its place in the environment. All processes hold the same weights and take the
same steps. What only one of them can know (the clock, a signal, what a validation gave) it tells the others at fixed
places, so that all decide alike. Nothing travels but numbers and JSON.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from cells.errors import CelloquyError, UsageError
from checkpoints import launch
from checkpoints.averaging import AllReduce, SharedMean, averaging
from checkpoints.divergence import Diverged
from checkpoints.launch import asked_for, here

STEP_TIMEOUT = datetime.timedelta(minutes=5)
"""How long a process waits for the others within a step; one that is dead is noticed at once, one that hangs then."""

LONG_TIMEOUT = datetime.timedelta(hours=6)
"""How long the others wait while the first validates, saves or encodes a corpus."""

LARGEST_DIMENSIONS = 8

Result = TypeVar("Result")


class Elsewhere(CelloquyError):
    """The first process could not go on, and tells why; the others end without a word."""

    untold = True


class LostProcess(CelloquyError):
    """Another process of the run is gone, or no longer answers."""


class Ranks:
    """The processes of one training run. A run of a single process is one too, and exchanges nothing."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self._averaging: AllReduce | SharedMean | None = None
        self._averaged: tuple[int, torch.device] | None = None
        self._long: Any = None
        if count > 1:
            import torch.distributed as dist

            self._long = dist.new_group(backend="gloo", timeout=LONG_TIMEOUT)

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """This process's rows of a batch, an equal share for each. UsageError if they cannot be shared equally."""
        if batch % self.count:
            raise UsageError(
                f"a batch of {batch} rows cannot be shared equally by {self.count} processes; give --batch"
            )
        share = batch // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor, all of one device, by its mean over the processes, in one exchange in float32.

        All processes get the same bits. Raises LostProcess if another one is gone.
        """
        if self.count == 1 or not any(tensor.numel() for tensor in tensors):
            return
        size, device = sum(tensor.numel() for tensor in tensors), tensors[0].device
        if self._averaging is None or self._averaged != (size, device):
            self._averaging, self._averaged = averaging(self, size, device), (size, device)
        self._averaging.mean(tensors)

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes. Raises LostProcess if another one is gone."""
        import torch.distributed as dist

        with told_if_lost():
            dist.all_reduce(tensor)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of these numbers over the processes, in float64; one that only one knows is 0 elsewhere."""
        if self.count == 1:
            return [float(number) for number in numbers]
        sums = torch.tensor(list(numbers), dtype=torch.float64)
        self.add_up(sums)
        found: list[float] = sums.tolist()
        return found

    def from_first(self, action: Callable[[], Result]) -> Result:
        """What ``action`` gives on the first process, on every one; it is not called on the others.

        The result must be JSON. An expected failure of the action is raised on the first process, and ends the others:
        as Diverged if it is that, from which all go back together, otherwise as Elsewhere.
        """
        if self.count == 1:
            return action()
        told = b""
        failure: CelloquyError | None = None
        result: Any = None
        if self.first:
            try:
                result = action()
                told = json.dumps({"result": result}).encode()
            except CelloquyError as error:
                failure = error
                told = json.dumps({"diverged": isinstance(error, Diverged), "error": str(error)}).encode()
        answer = json.loads(self._broadcast(told))
        if failure is not None:
            raise failure
        if "error" in answer:
            raise Diverged(answer["error"]) if answer["diverged"] else Elsewhere(answer["error"])
        return result if self.first else answer["result"]  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A stage that every process must pass: if one cannot, it tells why, the first of several, and all end."""
        failure: CelloquyError | None = None
        try:
            yield
        except LostProcess:
            raise
        except CelloquyError as error:
            failure = error
        if self.count > 1:
            failed = self.total([float(failure is not None and rank == self.rank) for rank in range(self.count)])
            if any(failed) and failed.index(1.0) != self.rank:
                raise Elsewhere(f"process {failed.index(1.0)} could not go on") from failure
        if failure is not None:
            raise failure

    def _broadcast(self, told: bytes) -> bytes:
        """The first process's bytes, on all."""
        import torch.distributed as dist

        with told_if_lost():
            length = torch.tensor([len(told)])
            dist.broadcast(length, 0, group=self._long)
            content = torch.zeros(int(length), dtype=torch.uint8)
            if self.first:
                content.copy_(torch.frombuffer(bytearray(told), dtype=torch.uint8))
            dist.broadcast(content, 0, group=self._long)
        return content.numpy().tobytes()

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """On the first process every process's tensors on the CPU, in order of rank; elsewhere an empty list.

        All processes give the same names and dtypes; shapes may differ. Raises LostProcess if a process is gone.
        """
        own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        if self.count == 1:
            return [own]
        import torch.distributed as dist

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


def _shape(tensor: Tensor) -> Tensor:
    """Number of dimensions and sizes, padded."""
    padded = torch.zeros(LARGEST_DIMENSIONS + 1, dtype=torch.int64)
    padded[0] = tensor.ndim
    padded[1 : 1 + tensor.ndim] = torch.tensor(tensor.shape)
    return padded


@contextlib.contextmanager
def told_if_lost() -> Iterator[None]:
    """Turn the failure of an exchange into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise LostProcess(
            "another process of this run is gone; what was saved is kept, the same command with --resume goes on"
        ) from error


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The processes that torchrun started, joined while entered; a single one where it did not start this.

    Gradients travel by gloo on CPUs, and on GPUs by nccl where every process has one of its own. Raises LostProcess if
    the others do not come. What a process other than the first cannot do is told with its number.
    """
    count = asked_for()
    if count == 1:
        yield Ranks()
        return
    import torch.distributed as dist

    launch.exchanged = True
    own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= here()
    if own_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with told_if_lost():
        dist.init_process_group("cpu:gloo,cuda:nccl" if own_gpu else "gloo", timeout=STEP_TIMEOUT)
    try:
        with told_if_lost():
            ranks = Ranks(dist.get_rank(), dist.get_world_size())
        with _numbered(ranks):
            yield ranks
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            dist.destroy_process_group()


@contextlib.contextmanager
def _numbered(ranks: Ranks) -> Iterator[None]:
    """Say which process it is that failed by itself. That another one is gone, the first two tell, not all."""
    try:
        yield
    except LostProcess as error:
        error.untold = ranks.rank > 1  # type: ignore[attr-defined]
        raise
    except CelloquyError as error:
        if not ranks.first and hasattr(error, "exit_status"):
            error.untold = True  # type: ignore[attr-defined]
        elif not ranks.first and not hasattr(error, "untold"):
            raise type(error)(f"process {ranks.rank}: {error}") from error
        raise
