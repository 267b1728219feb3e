"""``celloquy neurons``: units that follow something readable."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from repl.lab.options import NEURON_OPTIONS

    return NEURON_OPTIONS


@click.command("neurons", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="NAME")
@click.argument("corpus", metavar="CORPUS...", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(name: str, corpus: tuple[Path, ...], **parameters: Any) -> None:
    """Find units of a checkpoint whose state follows something readable in CORPUS: quotes, line position, names.

    Every state of every layer is compared with every feature of a list; the best are shown as coloured text.
    """
    from repl.lab.emit import check_output, emit
    from repl.lab.options import NEURON_OPTIONS

    values = NEURON_OPTIONS.validate(given(NEURON_OPTIONS, parameters))
    check_output(values)
    registry = current_program().registry()
    from checkpoints.corpus import read_corpus
    from checkpoints.loading import load_checkpoint
    from repl.lab.neurons import neuron_lab
    from repl.text_model import OneThread

    text = read_corpus(corpus).text
    with OneThread():
        picture, data = neuron_lab(load_checkpoint(name, values["cell"], registry), text, values)
    emit(picture, data, values)
