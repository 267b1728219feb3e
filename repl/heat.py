"""Colours for surprise and entropy: a scale from blue over grey to yellow that colour-blind people read as well."""

from __future__ import annotations

from repl.events import Text
from repl.meter import BITS
from repl.wrap import Row

# Eight steps of the cividis scale (Nunez, Anderton and Renslow 2018), made for colour vision deficiencies, as
# backgrounds: a background can be read on dark and light terminals alike, when the letter's colour goes with it.
_BACKGROUNDS = ("#00224e", "#213b6e", "#4c556c", "#6c6e72", "#8e8978", "#b2a570", "#d9c55c", "#fee838")
_FROM_DARK = 4
"""Steps that take white letters."""
BITS_A_STEP = 1.0


def colours(step: int) -> tuple[str, str]:
    """The background of a step and the colour of letters on it."""
    return _BACKGROUNDS[step], "#ffffff" if step < _FROM_DARK else "#000000"


STYLES = {f"heat-{step}": "bg:{} {}".format(*colours(step)) for step in range(len(_BACKGROUNDS))}


def step_of(nats: float) -> int:
    """The step of a surprise in nats: one for each bit, the last for all above."""
    last = len(_BACKGROUNDS) - 1
    steps = nats * BITS / BITS_A_STEP
    return max(0, int(steps)) if steps < last else last  # not a number is the last, too


def heat_style(mode: str, text: Text) -> str:
    """The style class of a generated piece under ``/heat``; none for given text, and none when it is off."""
    nats = text.surprise if mode == "surprise" else text.entropy if mode == "entropy" else None
    return "" if nats is None else f"class:heat-{step_of(nats)}"


def legend(mode: str) -> Row:
    """What the colours mean, in bits a character."""
    last = len(_BACKGROUNDS) - 1
    steps = [(f"class:heat-{step}", f" {step}{'+' if step == last else ''} ") for step in range(len(_BACKGROUNDS))]
    return [("class:dim", f"{mode} "), *steps, ("class:dim", " bits a character")]
