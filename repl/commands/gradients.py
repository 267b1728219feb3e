"""``celloquy gradients``: how far back a gradient reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from repl.lab.options import GRADIENT_OPTIONS

    return GRADIENT_OPTIONS


@click.command("gradients", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="[NAME]", required=False)
def command(name: str | None, **parameters: Any) -> None:
    """Draw how strongly the loss at a step depends on the hidden state k steps before it.

    With NAME: the checkpoints of a family, untrained and trained. Without: untrained networks, chosen by --cure or by
    the switches from --cell to --bias; where a switch lists several values, each combination is drawn.
    """
    from repl.lab.emit import check_output, emit
    from repl.lab.options import GRADIENT_OPTIONS

    options = given(GRADIENT_OPTIONS, parameters)
    values = GRADIENT_OPTIONS.validate(options)
    check_output(values)
    registry = current_program().registry()
    from repl.lab.gradient_lab import gradient_lab
    from repl.text_model import OneThread

    with OneThread():
        picture, data = gradient_lab(name, options, values, registry)
    emit(picture, data, values)
