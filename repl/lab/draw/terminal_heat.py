"""Heat maps and coloured text in the terminal: coloured blocks where there is colour, shades of ink where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from repl.lab.draw.colours import ink_on, ramp
from repl.lab.draw.marks import bands, cells, fit, mark
from repl.lab.draw.picture import ColouredText, HeatGroup, HeatMap, Scale
from repl.visible import one_line

SHADES = " ░▒▓█"
"""0 to the top of a scale, without colour."""
BELOW = " -=≡#"
"""The same below 0."""


def shade(value: float, scale: Scale) -> str:
    """A value as a character, for terminals and files without colour."""
    if scale.diverging:
        share = value / scale.high if scale.high else 0.0
        signs = SHADES if share >= 0 else BELOW
        return signs[min(round(abs(share) * (len(signs) - 1)), len(signs) - 1)] if share == share else "?"
    return SHADES[round(scale.place(value) * (len(SHADES) - 1))] if value == value else "?"


def heat_lines(heat: HeatMap, width: int, colour: bool, theme: str = "dark") -> list[Text]:
    """The map in bands of columns that fit ``width``; the text stands above each band."""
    labels = [mark(piece) for piece in heat.columns]
    widths = [max(cells(label), 1) for label in labels]
    margin = max((cells(row) for group in heat.groups for row in group.rows), default=0) + 1
    margin = min(max([margin, *(cells(group.title.split(" ")[0]) + 1 for group in heat.groups)]), width // 3)
    lines: list[Text] = []
    for number, band in enumerate(bands(widths, max(width - margin, 2))):
        if number:
            lines.append(Text())
        heading = Text(" " * margin, style="bold")
        for column in band:
            heading.append(fit(labels[column], widths[column]))
        lines.append(heading)
        for group in heat.groups:
            lines.append(Text(fit(one_line(group.title), width).rstrip(), style="dim"))
            lines += _group(group, band, widths, margin, colour, theme)
    return [*lines, *scale_lines(named_scales(heat), colour, theme)]


def named_scales(heat: HeatMap) -> dict[Scale, str]:
    """Each different scale of a map, and the groups that are coloured by it."""
    found: dict[Scale, list[str]] = {}
    for group in heat.groups:
        found.setdefault(group.scale, []).append(one_line(group.title).split(",")[0].split(" ")[0])
    return {scale: ", ".join(names) for scale, names in found.items()}


def _group(group: HeatGroup, band: range, widths: Sequence[int], margin: int, colour: bool, theme: str) -> list[Text]:
    lines = []
    for label, values in zip(group.rows, group.values, strict=True):
        line = Text(fit(one_line(label).rjust(margin - 1), margin))
        for column in band:
            line.append_text(_cell(values[column], group.scale, widths[column], colour, theme))
        lines.append(line)
    return lines


def _cell(value: float, scale: Scale, width: int, colour: bool, theme: str) -> Text:
    if not colour:
        return Text(shade(value, scale) * width)
    if value != value:
        return Text("?" * width)
    return Text(" " * width, style=f"on {ramp(scale.place(value), scale.diverging).on(theme)}")


def scale_lines(scales: Mapping[Scale, str], colour: bool, theme: str) -> list[Text]:
    """One line for each scale: its ends, the colours or shades between, and what it belongs to."""
    lines = []
    margin = max(len(f"{scale.low:.3g}") for scale in scales) if scales else 0
    for scale, name in scales.items():
        line = Text(f"{scale.low:.3g} ".rjust(margin + 1), style="dim")
        for number in range(17 if colour else 9):
            value = scale.low + (scale.high - scale.low) * number / (16 if colour else 8)
            line.append_text(_cell(value, scale, 1, colour, theme))
        line.append(f" {scale.high:.3g}   {name}".rstrip(), style="dim")
        lines.append(line)
    return lines


def text_lines(panel: ColouredText, width: int, colour: bool, theme: str = "dark") -> list[Text]:
    """Running text on the colours of its values; without colour, the shades stand in a line below each line."""
    labels = [mark(piece) for piece in panel.pieces]
    widths = [max(cells(label), 1) for label in labels]
    lines: list[Text] = []
    for line in rows_of(panel.pieces, widths, width):
        text, below = Text(), Text(style="dim")
        for number in line:
            value = panel.values[number]
            label = " " if panel.pieces[number] == " " else labels[number]
            if colour and value == value:
                ground = ramp(panel.scale.place(value), panel.scale.diverging).on(theme)
                text.append(label, style=f"{ink_on(ground)} on {ground}")
            else:
                text.append(label)
                below.append(shade(value, panel.scale) * widths[number])
        lines += [text] if colour else [text, below]
    return lines + scale_lines({panel.scale: ""}, colour, theme)


def rows_of(pieces: Sequence[str], widths: list[int], width: int) -> list[list[int]]:
    """The pieces in rows: a row ends after a newline, or where the next piece would not fit."""
    rows: list[list[int]] = [[]]
    used = 0
    for number, piece in enumerate(pieces):
        if used + widths[number] > width and rows[-1]:
            rows.append([])
            used = 0
        rows[-1].append(number)
        used += widths[number]
        if piece.endswith("\n"):
            rows.append([])
            used = 0
    return [row for row in rows if row]
