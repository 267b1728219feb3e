"""``celloquy plugins``: what is plugged in, a new plugin, and the conformance check. Listing imports no torch."""

from __future__ import annotations

import json
from typing import Any

import click

from repl.click_options import program_of
from repl.visible import visible

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _show(data: Any, lines: list[str], as_json: bool) -> None:
    """The result: JSON to the letter, or lines in which nothing of a stranger's can move the cursor."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(visible(line))


@click.group(name="plugins", invoke_without_command=True)
@json_flag
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List what is plugged in and what failed to load; make a plugin; check one."""
    if ctx.invoked_subcommand is None:
        _list(ctx, as_json)
    elif as_json:  # before the subcommand's name or after it: the same
        ctx.default_map = {name: {"as_json": True} for name in command.commands}


@command.command(name="list")
@json_flag
@click.pass_context
def list_plugins(ctx: click.Context, as_json: bool) -> None:
    """List what is plugged in and what failed to load."""
    _list(ctx, as_json)


def _list(ctx: click.Context, as_json: bool) -> None:
    from plugins.listing import to_json, to_lines

    registry = program_of(ctx).registry()
    _show(to_json(registry), to_lines(registry), as_json)


@command.command(name="new")
@click.argument("name")
@click.option("--into", default=".", metavar="DIR", help="Where the project's folder is made. [default: .]")
@json_flag
@click.pass_context
def new_plugin(ctx: click.Context, name: str, into: str, as_json: bool) -> None:
    """Make an installable project for a new cell.

    It is called celloquy-NAME, and its cell NAME already works.
    """
    from plugins.scaffold import scaffold

    root, *files = scaffold(name, into, taken=program_of(ctx).registry().cells)
    lines = [
        *(f"wrote {file}" for file in files),
        f"next: pip install -e {root}; celloquy plugins check {name}",
    ]
    _show({"folder": str(root), "files": [str(file) for file in files]}, lines, as_json)


@command.command(name="check")
@click.argument("name", metavar="NAME_OR_FILE")
@click.option(
    "--cell-option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the cell (repeatable)."
)
@click.option("--only", multiple=True, metavar="CHECK", help="Run this check alone (repeatable).")
@json_flag
@click.pass_context
def check_plugin(ctx: click.Context, name: str, options: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance kit on a cell, a plugin or a file."""
    from plugins.checking import cells_of, check_registered

    registry = program_of(ctx).registry()
    values = dict(_pair(option) for option in options)
    reports = []
    for cell in cells_of(registry, name):
        report = check_registered(registry, cell, values, only or None)
        reports.append(report)
        if not as_json:
            _show(None, str(report).splitlines(), False)
    if as_json:
        _show([report.to_json() for report in reports], [], True)
    if not all(reports):
        ctx.exit(1)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--cell-option must be KEY=VALUE, not {text!r}")
    return key, value
