"""``celloquy info``: everything a checkpoint says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from repl.streams import to_json
from repl.table import size, table

LONGEST = 200
"""Characters of a value that are shown; ``--json`` shows all."""


@click.command("info")
@click.argument("name", metavar="NAME")
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def command(name: str, cell: str | None, as_json: bool) -> None:
    """Show everything that a checkpoint says of itself: cell, sizes, vocabulary, corpus, figures, recipe."""
    from checkpoints.finding import describe, find

    description = describe(find(name, cell))
    click.echo(to_json(description) if as_json else table((), list(_rows(description))))


def _rows(description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A row for each fact, those of a part under its name; what the file leaves empty is left out."""
    for key, value in description.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", _fact(fact)) for inner, fact in value.items() if fact != "")
        elif key == "bytes":
            yield key, f"{value} ({size(value)})"
        elif value != "":
            yield key, _fact(value)


def _fact(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
