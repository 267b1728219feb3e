"""``celloquy step``: one time step of one layer, as equations for a unit and as numbers for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cells.cell import output_name
from cells.errors import UsageError
from checkpoints.loading import Loaded
from repl.lab.draw.marks import mark
from repl.lab.draw.picture import Lines, Panel, Picture, Table
from repl.lab.formula import Equation, equations, number
from repl.lab.gates import MEANINGS
from repl.lab.reading import chosen_layer, chosen_units, pieces_of, state_after
from repl.lab.replay import replay
from repl.lab.trace import StepTrace, trace_step

FORETOLD = 5
"""Next characters that are listed."""

CONTEXT = 24
"""Pieces of text that are shown before the one that is read."""


@dataclass(frozen=True)
class Passed:
    """What happened to one state in the step, each [H]: ``new = kept + comes_in`` and ``kept = share * old``."""

    old: Tensor
    share: Tensor
    new: Tensor

    @property
    def kept(self) -> Tensor:
        """What the old value left in the new one; 0 where the share is, whatever the old value was."""
        return torch.where(self.share == 0, torch.zeros_like(self.old), self.share * self.old)

    @property
    def comes_in(self) -> Tensor:
        """The rest of the new value."""
        return self.new - self.kept


@dataclass(frozen=True)
class StepRecord:
    """One step of a layer (counted from 1), the ``place``-th of the text (from 1)."""

    name: str
    cell: str
    layer: int
    place: int
    pieces: list[str]
    trace: StepTrace
    states: dict[str, Passed]
    output: str
    foretold: list[tuple[str, float]]

    @property
    def hidden_size(self) -> int:
        """The units of the layer."""
        return len(self.states[self.output].new)


def record_step(loaded: Loaded, tokens: Tensor, layer: int | None = None, place: int | None = None) -> StepRecord:
    """Read ``tokens`` [T] and look at the step that reads the ``place``-th (None: the last). Works for any cell.

    What a state keeps is its derivative by its own old value with the gates and recurrent products held fixed: f of
    an LSTM's c, z of a GRU's h, 0 of a plain network's h.
    """
    place = len(tokens) if place is None else place
    if place > len(tokens):
        raise UsageError(f"there is no character {place}: the text has {len(tokens)}")
    tokens = tokens[:place]
    index = chosen_layer(layer, loaded.model.config.num_layers)
    with torch.no_grad():
        runs, hidden = replay(loaded.model, tokens[-1:, None], state_after(loaded, tokens[:-1]))
        probabilities = torch.softmax(loaded.model.read(hidden[-1, 0]), 0)
    run = runs[index]
    before = {name: run.stacked(name)[-2] for name in run.start}
    trace = trace_step(run.layer, run.gates[-1], before)
    held = trace_step(run.layer, run.gates[-1], before, hold=True)
    states = {}
    for name, node in held.new.items():
        old = held.old[name]
        share = torch.zeros_like(old)
        if node.value.requires_grad:
            (found,) = torch.autograd.grad(node.value.sum(), [old], allow_unused=True, retain_graph=True)
            share = share if found is None else found
        states[name] = Passed(old.detach()[0], share[0], node.value.detach()[0])
    best = probabilities.topk(min(FORETOLD, len(probabilities)))
    decode = loaded.tokenizer.decode
    foretold = [(decode([token]), p) for token, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
    pieces = pieces_of(loaded.tokenizer, tokens)
    output = output_name(loaded.cell)
    return StepRecord(loaded.name, loaded.header.cell_name, index + 1, place, pieces, trace, states, output, foretold)


def most_changed(record: StepRecord, count: int) -> list[int]:
    """The units whose output changed most in the step, the most changed first."""
    passed = record.states[record.output]
    return [int(unit) for unit in (passed.new - passed.old).abs().argsort(descending=True, stable=True)[:count]]


def step_picture(record: StepRecord, units: Sequence[int], meanings: Mapping[str, str]) -> Picture:
    """Equations for the first unit, a table for all of ``units``, and what the model expects next."""
    before = "".join(mark(piece) for piece in record.pieces[-CONTEXT - 1 : -1])
    read = mark(record.pieces[-1])
    first = units[0]
    panels: list[Panel] = [
        Lines(f"Unit {first}", [_with_meaning(one, meanings) for one in equations(record.trace, 0, first)]),
        Lines("What that means", [line for name in record.states for line in _in_words(record, name, first)]),
        _units_table(record, units),
        Table(
            "What comes next, by the whole model",
            ["character", "probability"],
            [[mark(text), f"{probability:.3f}"] for text, probability in record.foretold],
        ),
    ]
    note = f"Step {record.place}: the layer has read {before} and now reads {read}" if before else f"It reads {read}"
    return Picture(f"{record.name}, layer {record.layer}: one time step", panels, f"{note}.")


def _with_meaning(equation: Equation, meanings: Mapping[str, str]) -> str:
    meaning = meanings.get(equation.symbol.rstrip("~"), "")
    return f"{equation.line()}    {meaning}".rstrip()


def _in_words(record: StepRecord, name: str, unit: int) -> list[str]:
    """What is forgotten, what comes in and what goes out, for one state of one unit."""
    passed = record.states[name]
    old, share, new = (float(value[unit]) for value in (passed.old, passed.share, passed.new))
    kept, comes_in = float(passed.kept[unit]), float(passed.comes_in[unit])
    goes_out = " and goes out to what is above" if name == record.output else ""
    if not bool(passed.share.any()):
        return [f"{name}: made new, {number(new)}{goes_out}; of the old {number(old)} nothing stays as it was."]
    return [
        f"{name}: of the old {number(old)} it keeps {_percent(share)}, {number(kept)}, "
        f"and forgets {number(old - kept)}; {number(comes_in)} comes in; the new {name} is {number(new)}{goes_out}."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _units_table(record: StepRecord, units: Sequence[int]) -> Table:
    header = ["unit", *record.trace.gates]
    for name in record.states:
        header += [f"{name} before", "kept", "comes in", f"{name} after"]
    rows = []
    for unit in units:
        row = [str(unit), *(number(float(gate.value.expand(1, -1)[0, unit])) for gate in record.trace.gates.values())]
        for passed in record.states.values():
            row += [number(float(value[unit])) for value in (passed.old, passed.kept, passed.comes_in, passed.new)]
        rows.append(row)
    return Table("The units whose output changed most" if len(units) > 1 else "In numbers", header, rows)


def step_json(record: StepRecord, units: Sequence[int]) -> dict[str, Any]:
    """Everything about the chosen units: equations, gates, states, and the likeliest next characters."""
    return {
        "checkpoint": record.name,
        "cell": record.cell,
        "layer": record.layer,
        "step": record.place,
        "reads": record.pieces[-1],
        "units": [
            {
                "unit": unit,
                "gates": {
                    name: {"function": gate.function, "value": _json(gate.value.expand(1, -1)[0, unit])}
                    for name, gate in record.trace.gates.items()
                },
                "states": {
                    name: {
                        key: _json(value[unit])
                        for key, value in (
                            ("before", passed.old),
                            ("share_kept", passed.share),
                            ("kept", passed.kept),
                            ("comes_in", passed.comes_in),
                            ("after", passed.new),
                        )
                    }
                    for name, passed in record.states.items()
                },
                "equations": [one.line() for one in equations(record.trace, 0, unit)],
            }
            for unit in units
        ],
        "next": [{"text": text, "probability": probability} for text, probability in record.foretold],
    }


def _json(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None


def step_lab(loaded: Loaded, tokens: Tensor, values: Mapping[str, Any]) -> tuple[Picture, dict[str, Any]]:
    """The picture and the numbers of ``celloquy step``."""
    record = record_step(loaded, tokens, values["layer"], values["at"])
    size = record.hidden_size
    units = chosen_units(values["unit"], size) if values["unit"] else most_changed(record, values["most"])
    meanings = MEANINGS.get(type(loaded.cell), {})
    return step_picture(record, units, meanings), step_json(record, units)
