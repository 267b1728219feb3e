"""REPL commands that look into the model: its gates along a text, one unit while text streams."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cells.errors import CelloquyError, UsageError
from repl.events import Drawing
from repl.neuron import Neuron, parse_neuron
from repl.slash import Commands

if TYPE_CHECKING:
    from cells.cell import Cell
    from cells.state import State
    from checkpoints.loading import Loaded
    from repl.lab.draw.picture import Picture
    from repl.lab.gates import GateRecord
    from repl.session import Session

GROUP = "the model"
RECENT = 160
"""Tokens of the recent text that are looked at; as many of the last as the terminal is wide are drawn."""
UNITS = 3
MARGIN = 8
"""Cells that the units' numbers take beside a map, at most."""


def add_lab_commands(commands: Commands) -> None:
    """Declare them."""

    @commands.declare(
        "gates [layer=N] [TEXT]",
        GROUP,
        "Draw every gate and state of a layer along the recent text, or along a text of yours.",
        more="A column is a character; rows are the units whose output varies most, and the mean of all units.",
    )
    def gates(session: Session, argument: str) -> None:
        found = re.match(r"layer=(\S*)\s*", argument)
        layer = None
        if found:
            if not found[1].isdecimal() or int(found[1]) < 1:
                raise UsageError(f"the layer must be a whole number of at least 1, not {found[1]!r}")
            layer, argument = int(found[1]), argument[found.end() :]
        session.out(_drawn(session, layer, argument))

    @commands.declare(
        "neuron [N|off]",
        GROUP,
        "Colour the text that streams by the state of one unit.",
        complete=lambda session: ("off", *_cell(session).state),
        more="A unit is 37, c 37 or 2 c 37 (layer, state, unit): the output of the last layer unless said otherwise. "
        "celloquy neurons NAME CORPUS finds units that follow something readable.",
    )
    def neuron(session: Session, argument: str) -> None:
        if argument == "off":
            session.neuron = None
        elif argument:
            wanted = parse_neuron(argument, _single(session))
            session.neuron = wanted.within(_recent_values(session, wanted))
            session.heat = "off"
        watched = session.neuron
        session.say(
            "neuron off" if watched is None else f"neuron {watched.name}, from -{watched.limit:g} to {watched.limit:g}"
        )


def _single(session: Session) -> Loaded:
    """The checkpoint that writes. CelloquyError for a mixture, which has no gates of its own."""
    from repl.mixture import Mixture

    loaded = session.writer.loaded
    if isinstance(loaded, Mixture):
        raise CelloquyError(f"{loaded.name} is several cells at once; choose one to look into, such as /cell lstm")
    return loaded


def _cell(session: Session) -> Cell:
    return session.writer.loaded.cell


def _recent(session: Session) -> tuple[list[int], State | None]:
    """The last tokens of the text, RECENT of them or some more, and the state before them."""
    snapshot = session.writer.snapshot()
    tokens: list[int] = []
    for passage in snapshot.passage.back():
        if passage.position is not None and (len(tokens) >= RECENT or passage.before is None):
            state, pending = passage.position
            return ([] if pending is None else [pending]) + tokens, state
        tokens = [*passage.tokens, *tokens]
    return tokens, None


def _recent_values(session: Session, neuron: Neuron) -> list[float]:
    """The unit's values along the recent text, none where there is no text."""
    tokens, state = _recent(session)
    return [] if not tokens else _record(_single(session), tokens, neuron.layer, state).values_of(neuron)


@dataclass(frozen=True)
class Record:
    """What the lab recorded, and of which cell."""

    gates: GateRecord
    cell: Cell

    def values_of(self, neuron: Neuron) -> list[float]:
        """One unit's values."""
        found = next(one for one in self.gates.recorded if (one.kind, one.name) == ("state", neuron.state))
        return [float(value) for value in found.values[:, neuron.unit]]

    def last(self, cells: int) -> Record:
        """The part of it that so many cells can hold, from its end."""
        from repl.lab.draw.marks import cells as width
        from repl.lab.draw.marks import mark

        count, room = 0, cells
        for piece in reversed(self.gates.pieces):
            room -= max(width(mark(piece)), 1)
            if room < 0:
                break
            count += 1
        start = len(self.gates.pieces) - max(count, 1)
        whole = self.gates
        recorded = [replace(one, values=one.values[start:]) for one in whole.recorded]
        part = replace(whole, pieces=whole.pieces[start:], recorded=recorded, output=whole.output[start:])
        return replace(self, gates=part)

    def picture(self) -> Picture:
        """The map of the units that vary most."""
        from repl.lab.gates import gate_picture

        return gate_picture(self.gates, self.cell, self.gates.most_varied(UNITS))


def _record(loaded: Loaded, tokens: list[int], layer: int | None, state: State | None) -> Record:
    import torch

    from repl.lab.gates import record_gates
    from repl.text_model import OneThread

    with OneThread():
        return Record(record_gates(loaded, torch.tensor(tokens), layer, state), loaded.cell)


def _drawn(session: Session, layer: int | None, text: str) -> Drawing:
    from repl.lab.reading import check_length

    loaded = _single(session)
    if text:
        session.tell_unknown(loaded.tokenizer.unknown_characters(text))
        tokens = loaded.tokenizer.encode(text)
        check_length(tokens)
        record = _record(loaded, tokens, layer, None)
        return Drawing(lambda columns: record.picture())
    tokens, state = _recent(session)
    if not tokens:
        raise CelloquyError("there is no text yet; give one, as in /gates To be, or not to be")
    recent = _record(loaded, tokens, layer, state)
    return Drawing(lambda columns: recent.last(max(8, columns - MARGIN)).picture())
