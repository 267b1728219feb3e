"""Steps of decoding as CUDA graphs: the many small kernels of a step are launched as one.

A graph works on the memory that it was captured with. So a :class:`RecordedStep` has fixed places for tokens and state,
into which a step's are copied, and copies what the graph leaves there out again: a state once given back is never
changed, as with any decoder. What a graph is made with is handed in (a :data:`Recorder`), so that all of this but the
capture itself runs, and is tested, on any device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from cells.decoder import Decoder
from cells.errors import CelloquyError
from cells.model import LanguageModel
from cells.state import State

Work = Callable[[], Tensor]
"""Something to compute on fixed memory, from which it also reads; gives the tensor that holds the result."""

Recorder = Callable[[Work], Work]
"""Takes down some work, running it as often as it likes, and gives what does the same again, on the same memory."""

Step = Callable[[Tensor, State], tuple[Tensor, State]]

WARM_UP = 3
"""Runs before a capture, in which libraries find their workspaces and algorithms."""

AFTER = 4
"""Steps of a batch size that run as usual before it gets a graph of its own: a size may never come again."""

MOST = 8
"""Batch sizes that get one, at most: each holds the memory of its step."""

COMPARED = 4
"""Steps on which a graph must give the very bits of the step itself before it is used."""


def cuda_recorder(device: torch.device) -> Recorder:
    """Captures work as a ``torch.cuda.CUDAGraph`` on ``device``, after a warm-up on the same side stream.

    RuntimeError for work that cannot be captured, such as a cell whose ``step`` looks at its numbers.
    """

    def record(work: Work) -> Work:
        with torch.cuda.device(device):
            here = torch.cuda.current_stream()
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(here)
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    work()
            here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):  # others may go on meanwhile
                result = work()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    return record


class RecordedStep:
    """A decoder's step for one batch size, taken down by ``record``. Called like the step itself."""

    def __init__(self, step: Step, like: State, record: Recorder) -> None:
        """``like`` is some state [B, H] of the batch size."""
        self._step = step
        self._names = [list(layer) for layer in like]
        self._given = [value.clone() for layer in like for value in layer.values()]
        first = self._given[0]
        self._tokens = torch.zeros(len(first), dtype=torch.int64, device=first.device)
        self._shapes: list[torch.Size] = []
        with torch.no_grad():
            self._again = record(self._work)

    def _work(self) -> Tensor:
        """One step on the fixed places: logits and state, flat, in one tensor.

        The decoder knows the state that it made last by its identity, so it is given the places in new tensors.
        """
        logits, after = self._step(self._tokens, self._shaped([place.view_as(place) for place in self._given]))
        results = [logits, *(layer[name] for layer, names in zip(after, self._names, strict=True) for name in names)]
        if any(result.dtype != logits.dtype for result in results):
            raise CelloquyError("logits and state have different types")
        self._shapes = [result.shape for result in results]
        return torch.cat([result.reshape(-1) for result in results])

    def _shaped(self, values: list[Tensor]) -> State:
        rest = iter(values)
        return [{name: next(rest) for name in names} for names in self._names]

    def fits(self, state: State) -> bool:
        """Whether a state has the shapes that this was taken down for."""
        values = [value for layer in state for value in layer.values()]
        return len(values) == len(self._given) and all(
            value.shape == place.shape and value.dtype == place.dtype and value.device == place.device
            for value, place in zip(values, self._given, strict=True)
        )

    def __call__(self, tokens: Tensor | int, state: State) -> tuple[Tensor, State]:
        """Logits [B, V] after ``tokens`` [B], or after one token for the one row, and the new state."""
        if isinstance(tokens, int):
            self._tokens.fill_(tokens)
        else:
            self._tokens.copy_(tokens)
        torch._foreach_copy_(self._given, [value for layer in state for value in layer.values()])
        found = self._again().clone()
        parts = found.split_with_sizes([shape.numel() for shape in self._shapes])
        logits, *after = (part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))
        return logits, self._shaped(after)


class GraphedDecoder(Decoder):
    """A decoder whose steps run as graphs where these give the same bits, and as usual where not.

    A batch size gets its graph when it has come up some times. If one cannot be made, or differs, none is used any
    more, and ``model.notice`` is told so in one line.
    """

    def __init__(self, model: LanguageModel, record: Recorder | None = None) -> None:
        super().__init__(model)
        self._record = cuda_recorder(model.readout.bias.device) if record is None else record
        self._recorded: dict[int, RecordedStep] = {}
        self._asked: dict[int, int] = {}
        self._off = False
        self._places = threading.Lock()

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`Decoder.step`."""
        done = self._by_graph(len(tokens), tokens, state)
        return super().step(tokens, state) if done is None else done

    def step_one(self, token: int, state: State) -> tuple[Tensor, State]:
        """As :meth:`Decoder.step_one`."""
        done = self._by_graph(1, token, state)
        return super().step_one(token, state) if done is None else done

    def _by_graph(self, batch: int, tokens: Tensor | int, state: State) -> tuple[Tensor, State] | None:
        """The step by its graph; None if there is none, or another thread is using it."""
        if self._off or not self._places.acquire(blocking=False):
            return None
        try:
            recorded = self._graph(batch)
            return recorded(tokens, state) if recorded is not None and recorded.fits(state) else None
        finally:
            self._places.release()

    def _graph(self, batch: int) -> RecordedStep | None:
        """The graph of a batch size, made when it has come up often enough."""
        if batch in self._recorded:
            return self._recorded[batch]
        self._asked[batch] = self._asked.get(batch, 0) + 1
        if self._asked[batch] <= AFTER or len(self._recorded) == MOST:
            return None
        try:
            recorded = RecordedStep(super().step, self.initial_state(batch), self._record)
            self._compare(recorded, batch)
        except (CelloquyError, RuntimeError) as error:  # torch's errors of capture are RuntimeErrors
            self._off = True
            self._recorded.clear()
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.model.notice(f"decoding goes on without CUDA graphs: {why}"[:300])
            return None
        self._recorded[batch] = recorded
        return recorded

    def _compare(self, recorded: RecordedStep, batch: int) -> None:
        """CelloquyError unless the graph gives the bits of the step, and leaves what it gave before as it was."""
        state = self.initial_state(batch)
        pairs: list[tuple[Tensor, Tensor]] = []
        for number in range(COMPARED):
            token = (number * 7919 + 1) % self.config.vocabulary_size
            tokens = (torch.arange(batch, device=self._table.device) + token) % self.config.vocabulary_size
            logits, after = super().step(tokens, state) if batch > 1 else super().step_one(token, state)
            found, reached = recorded(tokens if batch > 1 else token, state)
            pairs.append((logits, found))
            for layer, other in zip(after, reached, strict=True):
                pairs.extend((layer[name], other[name]) for name in layer)
            state = reached
        if not all(torch.equal(one, other) for one, other in pairs):
            raise CelloquyError("a graph's step is not the step to the last bit")
