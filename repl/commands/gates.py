"""``celloquy gates``: every gate and state of a layer along a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from repl.lab.options import GATE_OPTIONS

    return GATE_OPTIONS


@click.command("gates", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="NAME")
@click.argument("text", metavar="[TEXT]", required=False)
def command(name: str, text: str | None, **parameters: Any) -> None:
    """Draw every gate and state of a layer along TEXT (or standard input) as a heat map.

    Any cell works, plugins included: the gates are found by watching the cell's own step.
    """
    from repl.lab.emit import check_output, emit
    from repl.lab.options import GATE_OPTIONS

    values = GATE_OPTIONS.validate(given(GATE_OPTIONS, parameters))
    check_output(values)
    registry = current_program().registry()
    from checkpoints.loading import load_checkpoint
    from repl.lab.gates import gate_lab
    from repl.lab.reading import given_text, tokens_of
    from repl.text_model import OneThread

    loaded = load_checkpoint(name, values["cell"], registry)
    with OneThread():
        picture, data = gate_lab(loaded, tokens_of(loaded, given_text(text)), values)
    emit(picture, data, values)
