"""What every command is given: the plugin files and switches that stand anywhere on the command line. No torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.registry import Registry

VALUED = ("--plugin",)
SWITCHES = ("--debug",)
"""Options that any command takes, before its name or after."""


@dataclass
class Program:
    """One run of ``celloquy``. The registry is made when a command first asks for it."""

    plugin_files: tuple[str, ...] = ()
    debug: bool = False
    _registry: list[Registry] = field(default_factory=list)

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Program:
        """Read ``--plugin`` and ``--debug`` wherever they stand, because plugins decide which other options exist."""
        files: list[str] = []
        debug = os.environ.get("CELLOQUY_DEBUG", "") not in ("", "0")
        rest = iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if argument == "--":
                break
            if name in VALUED:
                files += [value] if equals else [next(rest, "")]
            elif argument in SWITCHES:
                debug = True
        return cls(tuple(file for file in files if file), debug)

    def registry(self) -> Registry:
        """The plugins; each one that fails to load is told of on standard error, once."""
        if not self._registry:
            from repl.registration import load_registry

            self._registry.append(load_registry(self.plugin_files))
        return self._registry[0]

    def missing_plugins(self) -> list[str]:
        """The ``--plugin`` files that are not there, unless a command that needed the plugins has told of them."""
        return [] if self._registry else [file for file in self.plugin_files if not os.path.isfile(file)]


def first_word(arguments: Sequence[str]) -> int | None:
    """The index of the first argument that is not one of every command's options; None if there is none."""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument in VALUED:
            index += 2
        elif argument in SWITCHES or argument.partition("=")[0] in VALUED:
            index += 1
        else:
            return index
    return None
