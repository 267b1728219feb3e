"""A picture of the lab as rows of the screen."""

from __future__ import annotations

from rich.console import Console
from rich.style import Style

from repl.lab.draw.picture import Picture
from repl.lab.draw.terminal import ground_theme, picture_lines
from repl.wrap import Row, cut


def picture_rows(picture: Picture, columns: int, colour: bool) -> list[Row]:
    """Every line of a picture; with ``colour`` in blocks of it, else in shades of ink."""
    console = Console(width=columns, color_system="truecolor" if colour else None)
    rows: list[Row] = []
    for line in picture_lines(picture, columns, colour, ground_theme()):
        line.truncate(columns)
        rows.append([(_style(part.style), cut(part.text, columns)) for part in line.render(console) if part.text])
    return rows


def _style(style: Style | None) -> str:
    """rich's style in the words of prompt_toolkit."""
    if style is None:
        return ""
    words = ["class:dim"] if style.dim else []
    words += ["bold"] if style.bold else []
    words += [style.color.name] if style.color is not None else []
    words += [f"bg:{style.bgcolor.name}"] if style.bgcolor is not None else []
    return " ".join(words)
