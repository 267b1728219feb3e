"""A scene as SVG, and as an HTML page. Both follow the reader's light or dark setting unless told which."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from repl.lab.draw.colours import FAINT, GROUND, INK, Paint
from repl.lab.draw.scene import Area, Box, Dot, Label, Scene, Shape, Stroke

THEMES = ("auto", "light", "dark")
SANS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def svg(scene: Scene, theme: str = "auto") -> str:
    """The scene as an SVG document, text as text."""
    names = {paint: f"p{number}" for number, paint in enumerate(dict.fromkeys(_paints(scene)))}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(scene.width)} {_n(scene.height)}" '
        f'width="{_n(scene.width)}" height="{_n(scene.height)}" role="img" aria-labelledby="t d">',
        f'<title id="t">{_text(scene.title)}</title>',
        f'<desc id="d">{_text(scene.note)}</desc>',
        f"<style>{_style(names, theme)}</style>",
        f'<rect class="{names[GROUND]}" width="100%" height="100%"/>',
        *(_shape(shape, names) for shape in scene.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def html(scene: Scene, theme: str = "auto") -> str:
    """A page that holds the picture and nothing else; it loads nothing."""
    scheme = "light dark" if theme == "auto" else theme
    ground = ["svg{display:block;margin:auto;max-width:100%;height:auto}"]
    ground.append(f"body{{margin:0;background:{GROUND.on(theme)}}}")
    if theme == "auto":
        ground.append(f"@media (prefers-color-scheme:dark){{body{{background:{GROUND.dark}}}}}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="{scheme}">\n'
        f"<title>{_text(scene.title)}</title>\n<style>{''.join(ground)}</style>\n</head>\n<body>\n"
        f"{svg(scene, theme)}</body>\n</html>\n"
    )


def _paints(scene: Scene) -> Iterable[Paint]:
    yield from (GROUND, INK, FAINT)
    for shape in scene.shapes:
        yield shape.paint


def _style(names: dict[Paint, str], theme: str) -> str:
    """One class for each colour; the stroke's classes end in s. Dark values follow in a media query."""
    rules = [f"text{{font-family:{SANS}}}.m{{font-family:{MONO};white-space:pre}}.b{{font-weight:600}}"]
    rules += _classes(names, "dark" if theme == "dark" else "light")
    if theme == "auto":
        rules += ["@media (prefers-color-scheme:dark){", *_classes(names, "dark"), "}"]
    return "".join(rules)


def _classes(names: dict[Paint, str], theme: str) -> list[str]:
    return [f".{name}{{fill:{p.on(theme)}}}.{name}s{{stroke:{p.on(theme)};fill:none}}" for p, name in names.items()]


def _shape(shape: Shape, names: dict[Paint, str]) -> str:
    name = names[shape.paint]
    if isinstance(shape, Stroke):
        dash = f' stroke-dasharray="{" ".join(map(_n, shape.dash))}"' if shape.dash else ""
        width = f'stroke-width="{_n(shape.width)}" stroke-linejoin="round"'
        return f'<polyline class="{name}s" {width}{dash} points="{_points(shape.points)}"/>'
    if isinstance(shape, Area):
        return f'<polygon class="{name}" opacity="{_n(shape.opacity)}" points="{_points(shape.points)}"/>'
    if isinstance(shape, Dot):
        return f'<circle class="{name}" cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}"/>'
    if isinstance(shape, Box):
        # crispEdges: neighbours of a heat map would show hairlines of the ground between them
        place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"'
        return f'<rect class="{name}" shape-rendering="crispEdges" {place}/>'
    assert isinstance(shape, Label)
    classes = " ".join([name] + ["m"] * shape.mono + ["b"] * shape.bold)
    anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
    place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}"'
    return f'<text class="{classes}" {place}{anchor}>{_text(shape.text)}</text>'


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    """Escaped; XML has no place for control characters and lone surrogates, which show as U+FFFD."""
    return escape("".join(character if _in_xml(character) else "\ufffd" for character in text))


def _in_xml(character: str) -> bool:
    if character < " ":
        return character in "\n\t"
    return not "\ud800" <= character <= "\udfff" and character not in "\ufffe\uffff"
