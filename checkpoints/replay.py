"""The state after a long text, found by reading its rows side by side until each begins as the one before it ends.

Read from its first token to its last, a text takes as many steps as it has tokens, each of which waits for the weights
to come from memory. Here it is cut into rows. The first time each begins without a past; then those begin again whose
beginning turns out to be another, and are read until they are on the way that they took before: from there on they
would take it again. What results is the sequential reading but for roundings (``NEAR`` at each seam), whatever the
cell. Where the rows do not agree after the work of READINGS whole readings, the rest is read one token after another.

A cell state that counts (an LSTM's c where its forget gate is near 1) is long in coming to its old way. Once all else
has, the difference is known from there on without reading: what the forget gates leave of it. The same product tells
how a row's end moves with its beginning, so that counts pass through all rows at once: Newton's method with the
diagonal of the recurrence (Lim, Zhu, Selfridge and Kasim 2023; Gonzalez, Warrington, Smith and Linderman 2024), by rows
instead of steps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from cells.model import LanguageModel
from cells.row_loops import KEPT
from cells.row_reader import LONG
from cells.state import State, select, stack
from checkpoints.rows import STEPS_A_ROW, Rows, SideBySide, beginning, exact, threads

AT_ONCE = 1 << 18
"""Tokens that are cut into rows together: bounds the memory for the ways they take."""

NEAR = 2e-5
"""Two states are alike if no unit differs by more than this, times 1 + its size."""

READINGS = 3
MOST_ROUNDS = 8


@torch.no_grad()
def state_after(model: LanguageModel, tokens: Sequence[int], start: State) -> State:
    """The state after ``tokens``, from the state ``start`` of one row; the same whatever the number of cores."""
    state = start
    with exact(model):
        for place in range(0, len(tokens), AT_ONCE):
            state = _part(model, numpy.asarray(tokens[place : place + AT_ONCE], dtype=numpy.int64), state)
    return state


def _part(model: LanguageModel, tokens: NDArray[numpy.int64], start: State) -> State:
    count = round(math.sqrt(len(tokens) / STEPS_A_ROW)) if len(tokens) >= LONG else 0
    length = len(tokens) // count if count else 0
    rest = torch.from_numpy(tokens[count * length :]).unsqueeze(1)  # the last tokens, which no row has
    state = start
    if count:
        rows = Rows(numpy.append(tokens[: count * length], 0), model.config, model.readout.bias.device, count)
        state = _Ways(model, rows, start).end()
    with threads(1):
        return model.hidden(rest, state)[1] if len(rest) else state


def _near(one: Tensor, other: Tensor) -> Tensor:
    """Which numbers are alike but for rounding."""
    return (one == other) | ((one - other).abs() <= NEAR * (1.0 + other.abs()))


class _Ways:
    """The way that every row took: each layer's state after each span, name -> [spans, rows, H].

    ``_began`` are the states in which the rows were begun last, name -> [rows, H].
    """

    def __init__(self, model: LanguageModel, rows: Rows, start: State) -> None:
        self._model = model
        self._rows = rows
        self._side_by_side = SideBySide(model, rows.scored)
        self._counts = self._side_by_side.has_loops and "c" in start[0]
        self._began = stack([start, *[beginning(model, start)] * (rows.count - 1)])
        names = [*start[0], KEPT] if self._counts else [*start[0]]
        shape = (rows.span_count, rows.count, model.config.hidden_size)
        self._way = [{name: torch.zeros(shape) for name in names} for _ in model.blocks]
        self._again = False

    def end(self) -> State:
        """The state after the last row."""
        rows, state, work = list(range(self._rows.count)), self._began, 0
        for _ in range(MOST_ROUNDS):
            read = functools.partial(self._group, dict(zip(rows, range(len(rows)), strict=True)), state)
            work += sum(self._side_by_side.each(read, self._side_by_side.groups(rows)))
            self._again = True
            rows = self._begin()
            if not rows:
                return self._ends(self._rows.count - 1)
            if work > READINGS * self._rows.count * self._rows.span_count:
                break
            state = select(self._began, rows)
        return self._one_after_another(rows[0])

    def _ends(self, row: int) -> State:
        """The state at the end of a row."""
        ends: State = [
            {name: states[-1, row : row + 1] for name, states in way.items() if name != KEPT} for way in self._way
        ]
        return [*ends, *select(self._began[len(ends) :], [row])] if len(self._began) > len(ends) else ends

    def _one_after_another(self, row: int) -> State:
        """The state after the last row, read from the beginning of this one, before which all rows agree."""
        state = self._ends(row - 1)
        with threads(1):
            for each in range(row, self._rows.count):
                inputs, _ = self._rows.span(slice(0, self._rows.length), [each])
                state = self._model.hidden(inputs, state)[1]
        return state

    def _begin(self) -> list[int]:
        """The rows that begin otherwise than they did; ``_began`` is changed to how they are to begin now."""
        before = [dict(layer) for layer in self._began]
        now: State = [{name: value.clone() for name, value in layer.items()} for layer in before]
        left = [way[KEPT].prod(0) if self._counts else None for way in self._way]
        again: list[int] = []
        for row in range(1, self._rows.count):
            alike = True
            for way, layer, earlier, kept in zip(self._way, now, before, left, strict=False):
                for name in earlier:
                    end = way[name][-1, row - 1]
                    if kept is not None and name == "c" and again[-1:] == [row - 1]:
                        end = end + kept[row - 1] * (layer[name][row - 1] - earlier[name][row - 1])
                    layer[name][row] = end
                    alike = alike and bool(_near(end, earlier[name][row]).all())
            if alike:
                for layer, earlier in zip(now, before, strict=True):
                    for name in earlier:
                        layer[name][row] = earlier[name][row]
            else:
                again.append(row)
        self._began = now
        return again

    def _group(self, places: Mapping[int, int], state: State, group: list[int]) -> int:
        """Read some rows to their end, or until they are on their old way again; how many spans of a row that took."""
        state = select(state, [places[row] for row in group])
        work = 0
        for number, steps in self._rows.spans():
            if self._counts:
                state = [{**layer, KEPT: torch.ones_like(layer["c"])} if "c" in layer else layer for layer in state]
            inputs, _ = self._rows.span(steps, group)
            _, state = self._side_by_side.read(inputs, state)
            work += len(group)
            settled = self._settled(number, group, state) if self._again else []
            for way, layer in zip(self._way, state, strict=False):
                for name, states in way.items():
                    states[number, group] = layer[name]
            if any(settled):
                left = [place for place, there in enumerate(settled) if not there]
                group, state = [group[place] for place in left], select(state, left)
            if not group or self._side_by_side.stopped.is_set():
                break
        return work

    def _settled(self, number: int, group: list[int], state: State) -> list[bool]:
        """Which rows are on their old way again. Where only counts differ, the rest of it is moved."""
        alike = torch.ones(len(group), dtype=torch.bool)
        counts = torch.ones(len(group), dtype=torch.bool)
        for way, layer in zip(self._way, state, strict=False):
            for name in way:
                if name != KEPT:
                    same = _near(layer[name], way[name][number, group]).all(1)
                    (counts if self._counts and name == "c" else alike).logical_and_(same)
        return [
            there and (same or self._moved(number, row, [layer["c"][place] for layer in state if "c" in layer]))
            for place, (row, there, same) in enumerate(zip(group, alike.tolist(), counts.tolist(), strict=True))
        ]

    def _moved(self, number: int, row: int, counts: list[Tensor]) -> bool:
        """Whether these counts [H] instead of the old ones change nothing but themselves from here on.

        Every output is o tanh(c), so they do not as long as tanh(c) is the same; then the way is moved.
        """
        moved = []
        for way, count in zip(self._way, counts, strict=True):
            old = way["c"][number:, row]
            left = torch.cat([torch.ones_like(old[:1]), way[KEPT][number + 1 :, row].cumprod(0)])
            moved.append(old + (count - old[0]) * left)
            if not _near(moved[-1].tanh(), old.tanh()).all():
                return False
        for way, new in zip(self._way, moved, strict=True):
            way["c"][number:, row] = new
        return True
