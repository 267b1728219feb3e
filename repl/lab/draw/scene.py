"""A picture laid out: shapes at fixed places, which every file format only has to write down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from repl.lab.draw.axes import Point
from repl.lab.draw.colours import INK, Paint


@dataclass(frozen=True)
class Stroke:
    """A line through points."""

    points: Sequence[Point]
    paint: Paint
    width: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Area:
    """A filled outline that lets ``1 - opacity`` of the ground through."""

    points: Sequence[Point]
    paint: Paint
    opacity: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A small disc."""

    x: float
    y: float
    radius: float
    paint: Paint


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    paint: Paint


@dataclass(frozen=True)
class Label:
    """Text; ``y`` is its baseline. ``anchor`` is start, middle or end; ``mono`` asks for fixed pitch."""

    x: float
    y: float
    text: str
    size: float = 13.0
    paint: Paint = INK
    anchor: str = "start"
    bold: bool = False
    mono: bool = False
    upright: bool = True


Shape = Stroke | Area | Dot | Box | Label


@dataclass
class Scene:
    """Shapes on a ground of ``width`` by ``height`` pixels, y downwards; later shapes lie on top."""

    width: float
    title: str
    note: str = ""
    height: float = 0.0
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Lay shapes on top."""
        self.shapes += shapes
