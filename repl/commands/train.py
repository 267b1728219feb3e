"""``celloquy train``: text files become checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from checkpoints.options import TRAIN_OPTIONS

    return TRAIN_OPTIONS


@click.command("train", cls=OptionsCommand, declare=_declare)
@click.argument("corpus", metavar="CORPUS...", nargs=-1, required=True)
def command(corpus: tuple[str, ...], **parameters: Any) -> None:
    """Train a checkpoint for each cell on text files, and print where each was written.

    The best validation so far is always in OUT/NAME.CELL.safetensors; Ctrl-C saves, and --resume goes on. Of --epochs,
    --steps and --minutes one decides how long it takes.
    """
    program = current_program()
    options = given(_declare(program), parameters)
    registry = program.registry()
    from checkpoints.train import train

    written = train(corpus, registry=registry, **options)
    if os.environ.get("RANK", "0") == "0":  # under torchrun, one process speaks
        for path in written:
            click.echo(path)
