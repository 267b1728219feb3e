"""REPL commands: one declaration of a command gives its dispatch, its line of help and its completion."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cells.errors import CelloquyError, UsageError
from plugins.options import OptionSet

Action = Callable[[Any, str], None]
Completer = Callable[[Any], Iterable[str]]
"""Both are given the conversation."""

GROUPS = ("while it writes", "the text", "the model", "chat", "keeping", "this program")


@dataclass(frozen=True)
class Command:
    """A command: ``usage`` is its name and arguments, ``help`` one sentence, ``more`` what ``/help NAME`` adds."""

    name: str
    usage: str
    group: str
    help: str
    run: Action
    complete: Completer | None = None
    more: str = ""
    takes_argument: bool = True


class Commands:
    """Every command, found by name."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __contains__(self, name: object) -> bool:
        return name in self._commands

    def add(self, command: Command) -> None:
        """Declare a command; its name must be new."""
        if command.name in self._commands:
            raise CelloquyError(f"the command /{command.name} is declared twice")
        self._commands[command.name] = command

    def declare(
        self, usage: str, group: str, help: str, *, complete: Completer | None = None, more: str = ""
    ) -> Callable[[Action], Action]:
        """Decorate a function ``(session, argument)`` as the command ``/usage``: its name, then its arguments."""
        name, _, arguments = usage.partition(" ")

        def declared(run: Action) -> Action:
            self.add(Command(name, f"/{usage}", group, help, run, complete, more, bool(arguments)))
            return run

        return declared

    def find(self, name: str) -> Command:
        """The command of this name, with or without its slash; the error suggests the nearest."""
        name = name.removeprefix("/")
        if name in self._commands:
            return self._commands[name]
        near = difflib.get_close_matches(name.lower(), self._commands, n=1, cutoff=0.5)
        advice = f"did you mean /{near[0]}?" if near else "/help lists them"
        raise UsageError(f"there is no command /{name}; {advice}")

    def run(self, session: Any, line: str) -> None:
        """Do what a line that begins with a slash says."""
        name, _, argument = line[1:].partition(" ")
        command = self.find(name.rstrip("\n"))
        argument = argument.strip()
        if argument and not command.takes_argument:
            raise UsageError(f"/{command.name} takes no argument")
        command.run(session, argument)


def number(text: str, what: str) -> int:
    """A whole number of at least 0 that a person typed."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise UsageError(f"{what} must be a whole number of at least 0, not {text!r}")
    return value


def command_table(options: OptionSet) -> Commands:
    """Every command: the program's own, and one for each sampling option."""
    from repl.slash_knobs import add_knob_commands
    from repl.slash_lab import add_lab_commands
    from repl.slash_model import add_chat_commands, add_file_commands, add_model_commands, add_program_commands
    from repl.slash_text import add_text_commands

    commands = Commands()
    add_text_commands(commands)
    add_model_commands(commands)
    add_lab_commands(commands)
    add_chat_commands(commands)
    add_file_commands(commands)
    add_program_commands(commands)
    add_knob_commands(commands, options)
    return commands
