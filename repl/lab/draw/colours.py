"""Colours that people with any colour vision can tell apart, for light and for dark grounds.

The qualitative sets were searched for the largest smallest difference (CIE Lab, under the simulations of Machado,
Oliveira and Fernandes 2009 for all three dichromacies) among colours of enough contrast; tests hold them to that.
"""

from __future__ import annotations

from dataclasses import dataclass

from repl.lab.draw.picture import Series


@dataclass(frozen=True)
class Paint:
    """One colour, as it is on a light and on a dark ground, ``#rrggbb``."""

    light: str
    dark: str

    def on(self, theme: str) -> str:
        """The colour for ``theme``, light or dark."""
        return self.dark if theme == "dark" else self.light


GROUND = Paint("#FFFFFF", "#14171A")
INK = Paint("#1B1F23", "#E8EAED")
FAINT = Paint("#6A7178", "#9AA3AC")
GRID = Paint("#E3E6E9", "#2B3138")

SERIES = (
    Paint("#0072B2", "#56B4E9"),
    Paint("#D55E00", "#E69F00"),
    Paint("#6414DC", "#B4F08C"),
    Paint("#8C8C78", "#788C8C"),
    Paint("#782800", "#DC503C"),
    Paint("#503C50", "#F0DCDC"),
)

TERMINAL = ("#1E88E5", "#D55E00", "#A014A0", "#A08C64", "#8C14F0", "#3C6464")
"""For curves in a terminal, whose ground nobody knows: each has a contrast of 3 with black and with white."""

DASHES: tuple[tuple[float, ...], ...] = ((), (7.0, 4.0), (2.0, 3.0))
"""When the colours are used up, the next round of curves is dashed, then dotted."""

SEQUENTIAL = (("#F5F5F0", "#A6CBE3", "#3A85BC", "#08305B"), ("#1A1F24", "#1F4E79", "#3E97D1", "#D9F1FF"))
DIVERGING = (
    ("#7A3300", "#DE873A", "#F5F5F0", "#5AA2D6", "#053A6B"),
    ("#FFC890", "#BF620E", "#1A1F24", "#1F78B8", "#AADDFF"),
)
LEVELS = 48
"""Steps of a ramp; an SVG names each once."""


def style_of(series: Series, number: int) -> tuple[int, int]:
    """Which colour and which dashes the n-th curve of a chart takes: a new round of colours is dashed otherwise."""
    colour = number if series.colour is None else series.colour
    return colour % len(SERIES), (series.dash + colour // len(SERIES)) % len(DASHES)


def ramp(place: float, diverging: bool) -> Paint:
    """The colour at ``place`` (0 to 1) of the sequential or the diverging ramp, rounded to one of LEVELS steps.

    The steps are odd in number and even around the middle, so a diverging 0 is exactly neutral.
    """
    rounded = round(place * LEVELS) / LEVELS
    light, dark = DIVERGING if diverging else SEQUENTIAL
    return Paint(_between(light, rounded), _between(dark, rounded))


def _between(anchors: tuple[str, ...], place: float) -> str:
    position = place * (len(anchors) - 1)
    number = min(int(position), len(anchors) - 2)
    share = position - number
    pairs = zip(channels(anchors[number]), channels(anchors[number + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (_linear(value / 255) for value in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(ground: str) -> str:
    """Black or white, whichever is easier to read on ``ground``."""
    return "#000000" if contrast(ground, "#000000") >= contrast(ground, "#FFFFFF") else "#FFFFFF"
