"""Every command with its usage, text and options, as data: what the manual page and docs/commands.md are made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from repl.program import Program


@dataclass(frozen=True)
class CommandPage:
    """One command. ``words`` are its names after ``celloquy``; ``options`` pairs of flag and help."""

    words: tuple[str, ...]
    usage: str
    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """As it is typed: ``plugins new``."""
        return " ".join(self.words)

    @property
    def anchor(self) -> str:
        """The name as the id of a heading."""
        return "-".join(self.words)


def command_pages(group: click.Group, program: Program) -> list[CommandPage]:
    """A page for each command, and after a group one for each command in it."""
    with group.make_context("celloquy", ["help"], obj=program, resilient_parsing=True) as context:
        return [page for name in group.list_commands(context) for page in _pages(group, context, (name,))]


def _pages(group: click.Group, parent: click.Context, words: tuple[str, ...]) -> Iterator[CommandPage]:
    command = group.get_command(parent, words[-1])
    if command is None:
        return
    context = click.Context(command, parent=parent, info_name=words[-1], help_option_names=["-h", "--help"])
    options = (parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option))
    records = (option.get_help_record(context) for option in options)
    usage = " ".join(["celloquy", *words, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "")
    paragraphs = tuple(" ".join(part.split()) for part in text.split("\n\n"))
    yield CommandPage(words, usage, paragraphs, tuple(_plain(record) for record in records if record is not None))
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _pages(command, context, (*words, below))


def _plain(record: tuple[str, str]) -> tuple[str, str]:
    flags, text = record
    return flags, " ".join(text.split())
