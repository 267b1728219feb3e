"""One unit of the state, watched while text streams: which one, its value at each character, and its colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cells.errors import UsageError
from repl.lab.draw.colours import ink_on, ramp
from repl.wrap import Row

if TYPE_CHECKING:
    from cells.state import State
    from checkpoints.loading import Loaded

STEPS = 17
"""Colours from the lowest value to the highest; odd, so that 0 has one of its own."""

STYLES = {
    f"neuron-{step}": f"bg:{ground} {ink_on(ground)}"
    for step, ground in enumerate(ramp(step / (STEPS - 1), True).on("dark") for step in range(STEPS))
}


@dataclass(frozen=True)
class Neuron:
    """A unit: ``layer`` counts from 1, ``unit`` from 0. The colours reach from -``limit`` to ``limit``."""

    layer: int
    state: str
    unit: int
    limit: float = 1.0

    @property
    def name(self) -> str:
        """``h 37``; ``layer 2 h 37``."""
        return f"{self.state} {self.unit}" if self.layer == 1 else f"layer {self.layer} {self.state} {self.unit}"

    def value(self, state: State) -> float | None:
        """The unit's value in a state [1, H] a layer; None if the model has no such unit."""
        if self.layer > len(state) or self.state not in state[self.layer - 1]:
            return None
        row = state[self.layer - 1][self.state][0]
        return float(row[self.unit]) if self.unit < len(row) else None

    def place(self, value: float) -> float:
        """Where a value stands among the colours, 0 to 1."""
        return 0.5 + 0.5 * min(max(value / self.limit, -1.0), 1.0)

    def within(self, values: list[float]) -> Neuron:
        """The same unit with colours that reach as far as these values, to a round number."""
        largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
        return replace(self, limit=round_up(largest) if largest > 0 else 1.0)


def round_up(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{step * power:.0e}") for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def parse_neuron(text: str, loaded: Loaded) -> Neuron:
    """``37``, ``c 37`` or ``2 c 37`` (layer, state, unit); the last layer's output unless said otherwise.

    UsageError if the checkpoint has no such unit.
    """
    config, states = loaded.model.config, list(loaded.cell.state)
    words = text.split()
    layer, state = str(config.num_layers), states[0]
    if len(words) > 1:
        state = words[-2]
    if len(words) > 2:
        layer = words[-3]
    if len(words) > 3 or not words or not words[-1].isdecimal() or not layer.isdecimal():
        raise UsageError(f"/neuron takes a unit such as 37, c 37 or 2 c 37 (layer, state, unit), or off; not {text!r}")
    if state not in states:
        raise UsageError(f"{loaded.name} has no state {state!r}; there are: {', '.join(states)}")
    if not 1 <= int(layer) <= config.num_layers:
        raise UsageError(f"there is no layer {layer}: the model has {config.num_layers}")
    if int(words[-1]) >= config.hidden_size:
        raise UsageError(f"there is no unit {words[-1]}: a layer has {config.hidden_size}, counted from 0")
    return Neuron(int(layer), state, int(words[-1]))


def neuron_style(shade: float) -> str:
    """The style class of a place among the colours; the middle for what is no number."""
    return f"class:neuron-{round(shade * (STEPS - 1)) if shade == shade else STEPS // 2}"


def neuron_legend(neuron: Neuron) -> Row:
    """What the colours mean."""
    colours: list[Any] = [(neuron_style(step / (STEPS - 1)), " ") for step in range(STEPS)]
    low, high = f"{-neuron.limit:g} ", f" {neuron.limit:g}"
    return [("class:dim", f"{neuron.name}  {low}"), *colours, ("class:dim", high)]
