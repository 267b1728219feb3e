"""``celloquy step``: one time step as equations and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from repl.lab.options import STEP_OPTIONS

    return STEP_OPTIONS


@click.command("step", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="NAME")
@click.argument("text", metavar="[TEXT]", required=False)
def command(name: str, text: str | None, **parameters: Any) -> None:
    """Show the step in which a layer reads the last character of TEXT (or of standard input).

    Equations with one unit's numbers in them, what is forgotten, what comes in and what goes out, and a table of the
    units whose output changed most. Any cell works, plugins included.
    """
    from repl.lab.emit import check_output, emit
    from repl.lab.options import STEP_OPTIONS

    values = STEP_OPTIONS.validate(given(STEP_OPTIONS, parameters))
    check_output(values)
    registry = current_program().registry()
    from checkpoints.loading import load_checkpoint
    from repl.lab.reading import given_text, tokens_of
    from repl.lab.step import step_lab
    from repl.text_model import OneThread

    loaded = load_checkpoint(name, values["cell"], registry)
    with OneThread():
        picture, data = step_lab(loaded, tokens_of(loaded, given_text(text)), values)
    emit(picture, data, values)
