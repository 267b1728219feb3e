"""What every command of the lab does at its end: numbers or a picture to standard output, a picture to a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console

from repl.lab.draw.files import check_file, write_picture
from repl.lab.draw.picture import Picture
from repl.lab.draw.terminal import show
from repl.streams import to_json


class PipeConsole(Console):
    """A console for standard output, whose reader may go: the command ends as every other one does then."""

    def on_broken_pipe(self) -> None:
        """Where rich would end the program with status 1."""
        raise BrokenPipeError


def check_output(values: Mapping[str, Any]) -> None:
    """Refuse an ``--out`` that cannot be written before anything is computed."""
    if values.get("out") is not None:
        check_file(values["out"])


def emit(picture: Picture, data: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Print ``picture`` (or, with ``json``, ``data`` on one line); write the picture where ``out`` says."""
    if values.get("json"):
        click.echo(to_json(data))
    else:
        show(picture, PipeConsole(file=sys.stdout))
    if values.get("out") is not None:
        write_picture(picture, values["out"], values.get("theme") or "auto")
        sys.stderr.write(f"wrote {values['out']}\n")
