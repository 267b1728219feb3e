"""``celloquy list``: the checkpoints there are."""

from __future__ import annotations

import sys

import click

from repl.streams import to_json
from repl.table import size, table
from repl.visible import one_line


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects.")
def command(as_json: bool) -> None:
    """List the checkpoints in ./checkpoints, in $CELLOQUY_HOME/checkpoints and those that ship."""
    from checkpoints.finding import list_checkpoints

    problems: list[str] = []
    entries = list_checkpoints(problems)
    for problem in problems:
        print(f"warning: {one_line(problem)}", file=sys.stderr)
    if as_json:
        click.echo(to_json([entry.to_json() for entry in entries]))
        return
    if not entries:
        print("there are no checkpoints yet; celloquy train CORPUS --name NAME makes one", file=sys.stderr)
        return
    rows = [
        (
            entry.name,
            f"{entry.parameters:,}",
            size(entry.bytes),
            "" if entry.val_loss is None else f"{entry.val_loss:.4f}",
            "" if entry.val_bits_per_character is None else f"{entry.val_bits_per_character:.3f}",
            entry.path,
        )
        for entry in entries
    ]
    click.echo(table(("NAME", "PARAMETERS", "SIZE", "VAL LOSS", "BITS/CHAR", "PATH"), rows, right=(1, 2, 3, 4)))
