"""A picture as a file, in the format that its name asks for."""

from __future__ import annotations

import os
from pathlib import Path

from cells.errors import CelloquyError, UsageError
from repl.lab.draw.layout import lay_out
from repl.lab.draw.picture import Picture
from repl.lab.draw.svg import html, svg

FORMATS = (".svg", ".png", ".html")


def check_file(name: str | Path) -> Path:
    """The path, if a picture can be written there; before the long computation, not after it.

    UsageError for another ending than .svg, .png or .html; CelloquyError if its folder is missing, or Pillow for PNG.
    """
    path = Path(name)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"out must end in {', '.join(FORMATS)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise CelloquyError(f"cannot write {path}: the folder {path.parent} does not exist")
    if path.suffix.lower() == ".png":
        from repl.lab.draw.png import require_pillow

        require_pillow()
    return path


def write_picture(picture: Picture, name: str | Path, theme: str = "auto") -> None:
    """Write the picture. ``theme`` auto: SVG and HTML follow the reader's setting, PNG is light."""
    path = check_file(name)
    scene = lay_out(picture)
    suffix = path.suffix.lower()
    if suffix == ".png":
        from repl.lab.draw.png import png

        content = png(scene, theme)
    else:
        content = (svg if suffix == ".svg" else html)(scene, theme).encode("utf-8")
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    try:
        half.write_bytes(content)
        half.replace(path)  # a reader sees the old picture or the new one, never half of it
    except OSError as error:
        half.unlink(missing_ok=True)
        raise CelloquyError(f"cannot write {path}: {error.strerror or error}") from error
