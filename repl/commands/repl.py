"""``celloquy repl``: talk with a checkpoint, live."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from cells.errors import UsageError
from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program
from repl.streams import is_terminal


def _declare(program: Program) -> Iterable[Option]:
    from repl.registration import sampling_options

    return sampling_options(program.registry())


@click.command("repl", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="[NAME]", default="shakespeare")
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option(
    "-n",
    "--length",
    type=click.IntRange(min=0),
    metavar="N",
    help="Tokens a continuation; 0 until stopped. [default: 500]",
)
@click.option("--chat", is_flag=True, help="Take turns: a line is yours, the model answers one turn.")
@click.option("--no-history", is_flag=True, help="Leave nothing behind: no history, no running transcript.")
@click.option("--continue", "resume", is_flag=True, help="Go on with the conversation that was going on last.")
def command(
    name: str, cell: str | None, length: int | None, chat: bool, no_history: bool, resume: bool, **parameters: Any
) -> None:
    """Open the REPL on a checkpoint.

    NAME is a family, family.cell, or a path. A plain line is given to the model, which continues it; /help lists the
    commands. While text streams: Up and Down turn the temperature, Left and Right change the cell, Space pauses, Esc
    stops.
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError("the REPL needs a terminal on both ends; celloquy generate works without one")
    program = current_program()
    settings = given(_declare(program), parameters)
    registry = program.registry()
    from repl.app import run_repl

    click.get_current_context().exit(
        run_repl(
            name,
            cell=cell,
            length=length,
            settings=settings,
            chat=chat,
            history=not no_history,
            registry=registry,
            resume=resume,
        )
    )
