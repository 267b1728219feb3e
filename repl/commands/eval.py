"""``celloquy eval``: how well a checkpoint foretells a text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program
from repl.streams import to_json
from repl.table import table
from repl.unknown import unknown_warning


def _declare(program: Program) -> Iterable[Option]:
    """How a corpus is read, as ``train`` reads it."""
    from checkpoints.options import TRAIN_OPTIONS

    return (TRAIN_OPTIONS["encoding"], TRAIN_OPTIONS["errors"])


@click.command("eval", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def command(name: str, file: Path, cell: str | None, as_json: bool, **reading: Any) -> None:
    """Score the text in FILE: tokens, nats a token, bits a character, perplexity."""
    from checkpoints.finding import find

    path = find(name, cell)
    program = current_program()
    registry = program.registry()
    from checkpoints.corpus import read_corpus
    from checkpoints.evaluate import evaluate
    from checkpoints.loading import load_checkpoint

    text = read_corpus([file], **given(_declare(program), reading)).text
    loaded = load_checkpoint(path, registry=registry)
    figures = evaluate(loaded, text)
    if figures["unknown"]:
        print(unknown_warning(loaded.name, figures["unknown"], "read as unknown and not scored"), file=sys.stderr)
    if as_json:
        click.echo(to_json(figures))
        return
    figures.pop("unknown")
    rows = [(key, str(value) if isinstance(value, int) else f"{value:.6g}") for key, value in figures.items()]
    click.echo(table((), rows, right=(1,)))
