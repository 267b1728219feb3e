"""Completion in the shell: what each word of a command line may be, by the metavars of its declaration. No torch.

click asks the parameter that stands at the cursor; what a parameter wants is said by its metavar, which its help line
shows too: NAME is a checkpoint, CELL a cell of the family, DIR a folder, and so on.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class, split_arg_string

from cells.errors import CelloquyError
from repl.click_options import program_of
from repl.program import Program

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CELLOQUY_COMPLETE"
"""When this is set, the program completes a command line (``bash_complete`` and so on) and does nothing else."""

_HARMLESS = re.compile(r"[\w+][\w.+:@%=,-]*")
"""Names that no shell takes for anything but a word; what a shell inserts is not quoted."""


def script(shell: str, command: click.Command) -> str:
    """The script that a shell has to read once for ``celloquy`` to be completed."""
    kind = get_completion_class(shell)
    if kind is None:
        raise CelloquyError(f"there is no completion for the shell {shell!r}; there is for {', '.join(SHELLS)}")
    return kind(command, {}, "celloquy", VARIABLE).source()


@contextlib.contextmanager
def quietly() -> Any:
    """While entered, nothing is said on standard error: it would land in the middle of the line being typed."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def program_being_typed() -> Program:
    """The program that the words on the line make, with their ``--plugin`` files."""
    return Program.from_arguments(_words())


def _words() -> list[str]:
    """The words on the line after the program's name."""
    return split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]


# ---------------------------------------------------------------------- what a parameter may be


def checkpoints(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The names of checkpoints and families; files, where a path is being typed."""
    if incomplete.startswith((".", "/", "~")) or os.sep in incomplete:
        return files(ctx, incomplete)
    from checkpoints.finding import list_checkpoints

    found: dict[str, str] = {}
    for entry in list_checkpoints([]):
        if entry.family != entry.name:
            found.setdefault(entry.family, "family")
        found[entry.name] = "" if entry.val_loss is None else f"validation loss {entry.val_loss:.3f}"
    return _beginning(found.items(), incomplete)


def cells(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The cells of the family that the command line names, else those that are plugged in."""
    from checkpoints.finding import find, siblings

    # click gives up on a line that ends in an option without its value, so the name is looked for among the words
    for word in [*_words(), str(ctx.params.get("name"))]:
        with contextlib.suppress(CelloquyError):
            return _beginning(((cell, "") for cell in siblings(find(word))), incomplete)
    return plugged_in_cells(ctx, incomplete)


def topics(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """What ``celloquy help`` explains."""
    from repl.cli import COMMANDS
    from repl.sampling_options import CORE_OPTIONS
    from repl.topics import topics as all_topics

    pages = ((topic.name, topic.title) for topic in all_topics(CORE_OPTIONS))
    return _beginning([*COMMANDS.items(), *pages], incomplete)


def plugged_in_cells(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The cells that are plugged in; after a comma the next of a list."""
    before, comma, last = incomplete.rpartition(",")
    there = program_of(ctx).registry().cells
    taken = before.split(",")
    wanted = ((name, entry.summary) for name, entry in there.items() if name not in taken)
    return [
        CompletionItem(before + comma + str(item.value), help=item.help)
        for item in _beginning(wanted, last if comma else incomplete)
    ]


def cells_or_files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """What ``plugins check`` takes: a cell or a file."""
    return plugged_in_cells(ctx, incomplete) or files(ctx, incomplete)


def files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Files, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Folders, by the shell itself."""
    return [CompletionItem(incomplete, type="dir")]


def _beginning(candidates: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Those that begin so and mean themselves to a shell: a stranger's file may be called ``x$(command)``."""
    return [
        CompletionItem(name, help=text)
        for name, text in candidates
        if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
    ]


SOURCES: dict[str, Callable[[click.Context, str], list[CompletionItem]]] = {
    "NAME": checkpoints,
    "CELL": cells,
    "CELL,…": plugged_in_cells,
    "NAME_OR_FILE": cells_or_files,
    "CORPUS...": files,
    "CORPUS": files,
    "DIR": folders,
    "TOPIC": topics,
}


def candidates(ctx: click.Context, metavar: str, incomplete: str) -> list[CompletionItem]:
    """What a parameter with this metavar may be; nothing where it could be anything."""
    plain = metavar.strip("[]")
    source = files if plain.startswith("FILE") else SOURCES.get(plain)
    return source(ctx, incomplete) if source is not None else []


class CompletedText(click.types.StringParamType):
    """Text that the shell can complete."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """By the parameter's metavar."""
        return candidates(ctx, param.metavar or "", incomplete)


def make_completable(command: click.Command) -> click.Command:
    """Let the shell complete every text that a command takes, and those of all commands below it."""
    for parameter in command.params:
        if type(parameter.type) is click.types.StringParamType and parameter.metavar:
            parameter.type = CompletedText()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            make_completable(below)
    return command
