"""Every gate and state of one layer along a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cells.cell import Cell, output_name
from cells.gru import GRU
from cells.lstm import LSTM
from cells.rnn import RNN
from cells.state import LayerState, State
from checkpoints.loading import Loaded
from repl.lab.draw.picture import HeatGroup, HeatMap, Picture, Scale
from repl.lab.reading import check_length, chosen_layer, chosen_units, pieces_of
from repl.lab.replay import replay
from repl.lab.trace import trace_step

MEANINGS: dict[type[Cell], dict[str, str]] = {
    LSTM: {"i": "input gate", "f": "forget gate", "g": "candidate", "o": "output gate"},
    GRU: {"r": "reset gate", "z": "update gate: what is kept", "n": "candidate"},
    RNN: {"h": "the new state"},
}
"""What the gates of the built-in cells are called; another cell's go by the names its author gave."""


@dataclass(frozen=True)
class Recorded:
    """One gate or state over a text: ``values`` [T, H]; ``function`` squashed a gate, "" where nothing did."""

    name: str
    kind: str
    function: str
    values: Tensor

    def scale(self, shown: Sequence[int]) -> Scale:
        """What the colours stand for: 0 to 1 for a sigmoid, else as far as the shown units go, to both sides if so."""
        if self.function == "sigmoid":
            return Scale(0.0, 1.0)
        if self.function == "tanh":
            return Scale(-1.0, 1.0, True)
        values = self.values[:, list(shown)]
        finite = values[torch.isfinite(values)].tolist()
        largest = max((abs(value) for value in finite), default=0.0) or 1.0
        return Scale(-largest, largest, True) if min(finite, default=0.0) < 0.0 else Scale(0.0, largest)


@dataclass(frozen=True)
class GateRecord:
    """A layer's gates and states over a text, one row a token; ``layer`` counts from 1."""

    name: str
    cell: str
    layer: int
    pieces: list[str]
    recorded: list[Recorded]
    output: Tensor
    final: State

    def most_varied(self, count: int) -> list[int]:
        """The units whose output varies most over the text, in the order of their numbers."""
        spread = self.output.std(0, correction=0)
        return sorted(spread.argsort(descending=True, stable=True)[:count].tolist())

    def to_json(self, units: Sequence[int]) -> dict[str, Any]:
        """The chosen units' numbers: ``values[unit][token]``."""
        head = {"checkpoint": self.name, "cell": self.cell, "layer": self.layer, "units": list(units)}
        found: dict[str, Any] = {"gate": {}, "state": {}}
        for one in self.recorded:
            rows = [[_number(value) for value in one.values[:, unit].tolist()] for unit in units]
            found[one.kind][one.name] = {**({"function": one.function} if one.kind == "gate" else {}), "values": rows}
        return {**head, "pieces": self.pieces, "gates": found["gate"], "states": found["state"]}


def record_gates(loaded: Loaded, tokens: Tensor, layer: int | None = None, state: State | None = None) -> GateRecord:
    """Read ``tokens`` [T] from ``state`` (None: the beginning) and record the gates and states of a layer.

    The states come from the recurrence; the gates from one more call of the cell's own ``step`` over all places at
    once, each with the state before it. Works for any cell.
    """
    index = chosen_layer(layer, loaded.model.config.num_layers)
    with torch.no_grad():
        runs, _ = replay(loaded.model, tokens[:, None], state)
    run = runs[index]
    before: LayerState = {name: run.stacked(name)[:-1, 0] for name in run.start}
    step = trace_step(run.layer, run.gates[:, 0], before)
    recorded = [
        Recorded(gate.name, "gate", gate.function, gate.value.expand(len(tokens), -1)) for gate in step.gates.values()
    ]
    recorded += [Recorded(name, "state", "", run.stacked(name)[1:, 0]) for name in run.start]
    output = run.stacked(output_name(loaded.cell))[1:, 0]
    final = [one.states[-1] for one in runs]
    pieces = pieces_of(loaded.tokenizer, tokens)
    return GateRecord(loaded.name, loaded.header.cell_name, index + 1, pieces, recorded, output, final)


def gate_picture(record: GateRecord, cell: Cell, units: Sequence[int]) -> Picture:
    """The record as a heat map: a group for each gate and state, a row for each unit and one for the mean of all."""
    groups = [_group(one, cell, units) for one in record.recorded]
    title = f"{record.name}, layer {record.layer}: gates and states along the text"
    note = (
        f"Each column is a character and what the layer did when it read it. Rows are units {_list(units)} of "
        f"{record.output.shape[1]}; the last row of each group is the mean over all of them."
    )
    return Picture(title, [HeatMap("", record.pieces, groups)], note)


def _group(one: Recorded, cell: Cell, units: Sequence[int]) -> HeatGroup:
    rows = [one.values[:, unit].tolist() for unit in units] + [one.values.mean(1).tolist()]
    labels = [*(str(unit) for unit in units), "mean"]
    return HeatGroup(heading(one, cell), labels, rows, one.scale(units))


def heading(one: Recorded, cell: Cell) -> str:
    """``f, forget gate (sigmoid)``: name, meaning where it is known, and the function."""
    meaning = MEANINGS.get(type(cell), {}).get(one.name, "gate") if one.kind == "gate" else "state"
    return f"{one.name}, {meaning}" + (f" ({one.function})" if one.function else "")


def _list(units: Sequence[int]) -> str:
    shown = ", ".join(map(str, units[:12]))
    return shown if len(units) <= 12 else f"{shown}, …"


def _number(value: float) -> float | None:
    return round(value, 6) if abs(value) < float("inf") else None


def gate_lab(loaded: Loaded, tokens: Tensor, values: Mapping[str, Any]) -> tuple[Picture, dict[str, Any]]:
    """The picture and the numbers of ``celloquy gates``. CelloquyError if there are too many tokens to draw."""
    check_length(tokens)
    record = record_gates(loaded, tokens, values["layer"])
    size = record.output.shape[1]
    units = chosen_units(values["unit"], size) if values["unit"] else record.most_varied(values["most"])
    return gate_picture(record, loaded.cell, units), record.to_json(units)
