"""A scene as PNG, by Pillow: the one format that needs a package of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError
from repl.lab.draw.axes import Point
from repl.lab.draw.colours import GROUND, channels
from repl.lab.draw.scene import Area, Box, Dot, Label, Scene, Stroke

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

PIXELS = 2
"""Pixels of the file for one of the scene: sharp on a projector."""
FINER = 2
"""Curves are drawn this much finer and averaged down."""

SANS = ("DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc", "LiberationSans-Regular.ttf")
BOLD = ("DejaVuSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf", "LiberationSans-Bold.ttf", *SANS)
MONO = ("DejaVuSansMono.ttf", "Menlo.ttc", "consola.ttf", "LiberationMono-Regular.ttf", *SANS)
WIDE = ("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc")
"""Fonts by file name, as systems have them; the first one found is used, Pillow's own if there is none."""


def require_pillow() -> None:
    """CelloquyError with the way to install Pillow, if it is missing."""
    if importlib.util.find_spec("PIL") is None:
        raise CelloquyError("a .png needs Pillow: pip install 'celloquy[plot]' (.svg and .html need nothing)")


def png(scene: Scene, theme: str = "light") -> bytes:
    """The scene as a PNG file. CelloquyError if Pillow is missing."""
    require_pillow()
    from PIL import Image, ImageDraw

    theme = "dark" if theme == "dark" else "light"
    size = (round(scene.width), round(scene.height))
    fine = PIXELS * FINER
    image = Image.new("RGB", (size[0] * fine, size[1] * fine), GROUND.on(theme))
    _draw_shapes(ImageDraw.Draw(image, "RGBA"), scene, theme, fine)
    image = image.resize((size[0] * PIXELS, size[1] * PIXELS), Image.Resampling.BOX)
    draw = ImageDraw.Draw(image)
    for shape in scene.shapes:
        if isinstance(shape, Label):
            _write(draw, shape, theme)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw_shapes(draw: ImageDraw, scene: Scene, theme: str, scale: int) -> None:
    for shape in scene.shapes:
        if isinstance(shape, Label):
            continue
        colour = shape.paint.on(theme)
        if isinstance(shape, Stroke):
            for run in dashes(shape.points, shape.dash):
                draw.line([(x * scale, y * scale) for x, y in run], colour, round(shape.width * scale), "curve")
        elif isinstance(shape, Area):
            outline = [(x * scale, y * scale) for x, y in shape.points]
            draw.polygon(outline, (*channels(colour), round(shape.opacity * 255)))
        elif isinstance(shape, Dot):
            draw.circle((shape.x * scale, shape.y * scale), shape.radius * scale, colour)
        elif isinstance(shape, Box):
            left, top = round(shape.x * scale), round(shape.y * scale)
            right, bottom = round((shape.x + shape.width) * scale), round((shape.y + shape.height) * scale)
            draw.rectangle((left, top, right - 1, bottom - 1), colour)


def dashes(points: Sequence[Point], pattern: tuple[float, ...]) -> list[list[Point]]:
    """A line as the pieces that a dash pattern leaves of it; lengths in the units of the points."""
    if not pattern:
        return [list(points)]
    pieces: list[list[Point]] = [[points[0]]] if points else []
    phase, left = 0, pattern[0]
    for (x0, y0), (x1, y1) in pairwise(points):
        length, done = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 0.0
        while length - done > left:
            done += left
            here = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if phase % 2 == 0:
                pieces[-1].append(here)
            else:
                pieces.append([here])
            phase += 1
            left = pattern[phase % len(pattern)]
        left -= length - done
        if phase % 2 == 0:
            pieces[-1].append((x1, y1))
    return [piece for piece in pieces if len(piece) > 1]


def _write(draw: ImageDraw, label: Label, theme: str) -> None:
    """One label; characters that the font lacks come from the next one that has them."""
    size = label.size * PIXELS
    names = MONO if label.mono else BOLD if label.bold else SANS
    pieces = [(piece, _font(names if known else WIDE, size)) for piece, known in _by_font(label.text, names, size)]
    total = sum(font.getlength(piece) for piece, font in pieces)
    x = label.x * PIXELS - {"start": 0.0, "middle": total / 2, "end": total}[label.anchor]
    for piece, font in pieces:
        draw.text((x, label.y * PIXELS), piece, label.paint.on(theme), font, anchor="ls")
        x += font.getlength(piece)


def _by_font(text: str, names: tuple[str, ...], size: float) -> list[tuple[str, bool]]:
    pieces: list[tuple[str, bool]] = []
    for character in text:
        known = character.isascii() or _has(names, size, character)
        if pieces and pieces[-1][1] == known:
            pieces[-1] = (pieces[-1][0] + character, known)
        else:
            pieces.append((character, known))
    return pieces


@cache
def _has(names: tuple[str, ...], size: float, character: str) -> bool:
    """Whether a font has a character: what it lacks, it draws as it draws a code point that nobody can have."""
    font = _font(names, size)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))


@cache
def _font(names: tuple[str, ...], size: float) -> Any:
    from PIL import ImageFont

    for name in names:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
