"""What the processes of a run have each for themselves, or only the first one has: clock, rows of the state, chance."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cells.errors import CelloquyError
from cells.state import State, state_from_tensors, state_tensors
from checkpoints.parallel import Ranks


class RunClock:
    """The seconds that a run has taken, those before a resume included.

    Where several processes train, all see the first one's clock as it was when they last agreed, so that what depends
    on the time, such as the learning rate, is the same for all.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.start(0.0)

    def start(self, seconds: float) -> None:
        """The run has taken so many seconds until now."""
        self._before = self._agreed = seconds
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Seconds of the run so far."""
        return self._own() if self._ranks.count == 1 else self._agreed

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Agree on the time, and on the sums of these numbers, which are returned."""
        if self._ranks.count == 1:
            return list(numbers)
        self._agreed, *sums = self._ranks.total([self._own() if self._ranks.first else 0.0, *numbers])
        return sums

    def agree_seconds(self) -> float:
        """Agree on the time, and return it."""
        self.agree([])
        return self.seconds()

    def _own(self) -> float:
        return self._before + max(0.0, time.monotonic() - self._started)


def gathered_rows(ranks: Ranks, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which each process has its rows, whole and in order on the first; elsewhere an empty dict."""
    if ranks.count == 1:
        return dict(tensors)
    everyone = ranks.gather(tensors)
    return {name: torch.cat([some[name] for some in everyone]) for name in (tensors if everyone else ())}


def gathered_random(ranks: Ranks, device: torch.device) -> dict[str, Tensor]:
    """The random states of all processes on the first: ``cpu`` and ``cuda``, with the process's number from 1 on."""
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return {_numbered(name, rank): value for rank, some in enumerate(ranks.gather(own)) for name, value in some.items()}


def restore_random(ranks: Ranks, device: torch.device, tensors: Mapping[str, Tensor]) -> None:
    """This process's part of :func:`gathered_random`; CelloquyError if it is not there."""
    random = tensors.get(_numbered("cpu", ranks.rank))
    if random is None or random.dtype != torch.uint8:
        raise CelloquyError("the resume state is damaged: it has no random state")
    on_gpu = tensors.get(_numbered("cuda", ranks.rank))
    try:
        torch.set_rng_state(random)
        if device.type == "cuda" and on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, device)
    except (RuntimeError, TypeError) as error:
        raise CelloquyError("the resume state is damaged: its random state is none") from error


def restored_rows(state: State, saved: Mapping[str, Tensor], rows: range) -> State:
    """These rows of a carried state that was saved, which fits ``state``; CelloquyError if it does not."""
    fresh = state_tensors(state)
    if fresh.keys() != saved.keys():
        raise CelloquyError("the resume state does not fit the model: its carried state has other parts")
    found = {name: value[rows.start : rows.stop].clone() if value.ndim else value for name, value in saved.items()}
    for name, value in found.items():
        if value.shape != fresh[name].shape or value.dtype != fresh[name].dtype:
            raise CelloquyError(f"the resume state does not fit the model: its carried state {name}")
    return state_from_tensors(found)


def _numbered(name: str, rank: int) -> str:
    return f"{name}{rank}" if rank else name
