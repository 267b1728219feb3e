"""A text cut into rows that are read side by side, by as many threads as there are cores."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy
import torch
from torch import Tensor

from cells.model import LanguageModel, ModelConfig, RecurrentModel
from cells.row_reader import row_reader
from cells.state import State
from checkpoints.batches import Tokens
from checkpoints.device import choose_threads, thread_choices
from checkpoints.trial import reading_trial

ROW = 1024
"""Tokens that a row has at least, if there is more than one."""

MOST_ROWS = 256
STEPS_A_ROW = 36
"""A row has so many tokens for every row: few enough rows that what is read twice of each does not count."""

GROUP = 64
"""Rows that one thread reads at once, at most."""

SPAN = 64
"""Tokens that every row reads between two looks at whether a second reading still differs from the first."""

WORTH_MEASURING = 20_000
"""Tokens from which on measuring threads costs little beside the reading."""

IGNORED = -100
Result = TypeVar("Result")


def beginning(model: LanguageModel, like: State) -> State:
    """The state of one row before any text, steered as ``like`` is."""
    blank = model.initial_state(1)
    return blank if model.labels is None else [*blank[:-1], like[-1]]


def row_count(tokens: int) -> int:
    """The number of rows for a text of so many tokens."""
    return max(1, min(MOST_ROWS, tokens // ROW, round(math.sqrt(tokens / STEPS_A_ROW))))


class Rows:
    """A text cut into ``count`` rows of ``length`` steps, the last one padded; every token but the last is read."""

    def __init__(self, tokens: Tokens, config: ModelConfig, device: torch.device, count: int = 0) -> None:
        self.tokens = tokens
        self.config = config
        self.device = device
        self.scored = len(tokens) - 1
        self.count = count or row_count(self.scored)
        self.length = -(-self.scored // self.count)

    @property
    def span_count(self) -> int:
        """How many spans a row has."""
        return -(-self.length // SPAN)

    def spans(self) -> Iterator[tuple[int, slice]]:
        """The number and the steps of each span."""
        for number, place in enumerate(range(0, self.length, SPAN)):
            yield number, slice(place, min(place + SPAN, self.length))

    def span(self, steps: slice, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs and targets [S, B] of some steps of some rows; IGNORED marks unknown targets and padding."""
        at = numpy.arange(steps.start, steps.stop)[:, None] + self.length * numpy.asarray(rows, dtype=numpy.int64)
        there = at < self.scored
        at[~there] = 0
        inputs = numpy.asarray(self.tokens[at], dtype=numpy.int64)
        targets = numpy.asarray(self.tokens[at + 1], dtype=numpy.int64)
        if self.config.labels:
            targets %= self.config.vocabulary_size  # what is foretold is the token, not its label
        targets[~there] = IGNORED
        if self.config.unknown_id is not None:
            targets[targets == self.config.unknown_id] = IGNORED
        return torch.from_numpy(inputs).to(self.device), torch.from_numpy(targets).to(self.device)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """While entered, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def exact(model: RecurrentModel) -> Iterator[None]:
    """While entered, the model is in evaluation mode and full precision."""
    was_training, dtype = model.training, model.compute_dtype
    model.eval()
    model.compute_dtype = None
    try:
        yield
    finally:
        model.compute_dtype = dtype
        model.train(was_training)


class SideBySide:
    """Reads groups of rows of a model's present weights, each in a thread of its own where the cell has such a loop.

    A thread computes on one core, so that a row's numbers do not depend on how many there are.
    """

    def __init__(self, model: LanguageModel, tokens: int) -> None:
        self._model = model
        self._tokens = tokens
        self._reader = row_reader(model)
        self.read: Callable[[Tensor, State], tuple[Tensor, State]] = self._reader or model.hidden
        self.logits: Callable[[Tensor], Tensor] = model.read if self._reader is None else self._reader.logits
        self.stopped = threading.Event()
        self._threads = 0

    def groups(self, rows: Sequence[int]) -> list[list[int]]:
        """The rows in groups of like size, always the same for the same rows; two at least, if there are some rows."""
        least = 1 if self._reader is None or len(rows) < 8 else 2
        count = max(least, -(-len(rows) // GROUP)) if self._reader is not None else 1
        if count > 2:
            count += count % 2
        size = -(-len(rows) // count)
        return [list(rows[start : start + size]) for start in range(0, len(rows), size)]

    @property
    def has_loops(self) -> bool:
        """Whether rows are read by the loops of ``cells.row_loops``."""
        return self._reader is not None

    def each(self, work: Callable[[list[int]], Result], groups: Sequence[list[int]]) -> list[Result]:
        """What ``work`` gives for each group, without autograd. It is to look at ``stopped`` now and then.

        Other cells' steps, which may be anybody's, are read in one group, by the number of threads that is fastest.
        """
        if self._reader is None:
            with threads(self._measured_threads()):
                return [work(group) for group in groups]
        workers = min(thread_choices()[-1], len(groups))
        with threads(1):
            if workers == 1:
                return [work(group) for group in groups]
            with ThreadPoolExecutor(workers) as pool:
                try:
                    return list(pool.map(torch.no_grad()(work), groups))
                except BaseException:
                    self.stopped.set()
                    raise

    def _measured_threads(self) -> int:
        if self._tokens < WORTH_MEASURING:
            return torch.get_num_threads()
        if not self._threads:
            trial = reading_trial(self._model, row_count(self._tokens), 16)
            self._threads = choose_threads("auto", self._model.readout.bias.device, trial)
        return self._threads
