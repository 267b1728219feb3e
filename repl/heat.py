"""Colours for surprise and entropy: a scale from blue over grey to yellow that colour-blind people read as well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from repl.meter import BITS

if TYPE_CHECKING:
    from repl.events import Text
    from repl.wrap import Row

# Eight steps of the cividis scale (Nunez, Anderton and Renslow 2018), made for colour vision deficiencies, as
# backgrounds: a background can be read on dark and light terminals alike, when the letter's colour goes with it.
_BACKGROUNDS = ("#00224e", "#213b6e", "#4c556c", "#6c6e72", "#8e8978", "#b2a570", "#d9c55c", "#fee838")
_FROM_DARK = 4
"""Steps that take white letters."""


def colours(step: int) -> tuple[str, str]:
    """The background of a step and the colour of letters on it."""
    return _BACKGROUNDS[step], "#ffffff" if step < _FROM_DARK else "#000000"


STYLES = {f"heat-{step}": "bg:{} {}".format(*colours(step)) for step in range(len(_BACKGROUNDS))}


def bits_a_step(characters: int) -> int:
    """How many bits a colour stands for, so that the scale reaches as far as that many characters can surprise."""
    return max(1, math.ceil(math.log2(max(characters, 2)) / len(_BACKGROUNDS)))


def step_of(nats: float, bits: int = 1) -> int:
    """The step of a surprise in nats: one for every so many bits, the last for all above."""
    last = len(_BACKGROUNDS) - 1
    steps = nats * BITS / bits
    return max(0, int(steps)) if steps < last else last  # not a number is the last, too


def heat_style(mode: str, text: Text, bits: int = 1) -> str:
    """The style class of a generated piece under ``/heat``; none for given text, and none when it is off.

    A token of several characters has a part of its surprise for each.
    """
    nats = text.surprise if mode == "surprise" else text.entropy if mode == "entropy" else None
    return "" if nats is None else f"class:heat-{step_of(nats / max(1, len(text.text)), bits)}"


def legend(mode: str, bits: int = 1) -> Row:
    """What the colours mean, in bits a character."""
    last = len(_BACKGROUNDS) - 1
    steps = [
        (f"class:heat-{step}", f" {step * bits}{'+' if step == last else ''} ") for step in range(len(_BACKGROUNDS))
    ]
    return [("class:dim", f"{mode} "), *steps, ("class:dim", " bits a character")]
