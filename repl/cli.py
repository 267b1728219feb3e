"""The command line: which commands there are. A command's module is imported when it is called, never before."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from repl.click_options import add_common_options
from repl.exits import DONE, leave, run_to_exit
from repl.program import Program, first_word
from repl.shell_completion import VARIABLE, checkpoints, make_completable, program_being_typed, quietly
from repl.streams import use_utf8
from repl.visible import one_line

COMMANDS = {
    "repl": "Talk with a checkpoint, live; what celloquy does without a command.",
    "train": "Train a checkpoint for each cell on text files.",
    "generate": "Print text that a checkpoint writes.",
    "eval": "Score a text: how well does a checkpoint foretell it?",
    "classify": "Tell what labels texts have.",
    "score": "Print how likely a checkpoint finds each line.",
    "list": "List the checkpoints there are.",
    "info": "Show everything that a checkpoint says of itself.",
    "plugins": "List, make and check plugins.",
    "gradients": "Draw how far back a gradient reaches, and what each cure changes.",
    "gates": "Draw every gate and state of a layer along a text.",
    "neurons": "Find units that follow something readable.",
    "step": "Show one time step as equations and numbers.",
    "compare": "Train several cells under equal conditions and draw their losses.",
    "import": "Make a checkpoint of a PyTorch state dictionary.",
    "export": "Write a checkpoint for other programs: a state dictionary, or ONNX.",
    "completion": "Print the script by which a shell completes command lines.",
    "help": "Explain a command or a topic.",
}
"""Every command with its line of help. Its code is ``command`` in ``repl.commands.NAME``."""

OWN_FLAGS = ("--help", "-h", "--version")


class CommandLine(click.Group):
    """The group of all commands. Ends the process with the right exit status and at most one line of complaint."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"repl.commands.{cmd_name}").command
        return make_completable(add_common_options(command))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their help, from the table: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; an unknown one is refused with the nearest name."""
        if args[0] not in COMMANDS:
            if ctx.resilient_parsing:
                return None, None, []
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command or checkpoint {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of a command line; one that is being completed may leave ``repl`` out, as any other."""
        if extra.get("resilient_parsing") and first_word(args) is not None:
            args = with_default_command(args)
        return super().make_context(info_name, args, parent, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and checkpoints, from the table and the folders: nothing is imported."""
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        if not incomplete.startswith("-"):
            found += checkpoints(ctx, incomplete)
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line and leave with its exit status."""
        if VARIABLE in os.environ:
            with quietly():
                return super().main([], "celloquy", VARIABLE, obj=program_being_typed())
        if not extra.get("standalone_mode", True):
            return super().main(args, *rest, **extra)
        use_utf8()
        arguments = list(sys.argv[1:] if args is None else args)
        program = Program.from_arguments(arguments)
        status = run_to_exit(lambda: self._run(arguments, program), program.debug)
        if status == DONE:
            for file in program.missing_plugins():
                click.echo(one_line(f"warning: there is no plugin file {file}"), err=True)
        leave(status)

    def _run(self, arguments: list[str], program: Program) -> None:
        with self.make_context("celloquy", with_default_command(arguments), obj=program) as context:
            self.invoke(context)


def with_default_command(arguments: list[str]) -> list[str]:
    """The arguments with ``repl`` put in where no command stands: before its options, or a checkpoint's name."""
    place = first_word(arguments)
    if place is None:
        return [*arguments, "repl"]
    word = arguments[place]
    if word in COMMANDS or word in OWN_FLAGS or not (word.startswith("-") or _is_checkpoint(word)):
        return arguments
    return [*arguments[:place], "repl", *arguments[place:]]


def _is_checkpoint(word: str) -> bool:
    from cells.errors import CelloquyError
    from checkpoints.finding import find

    try:
        find(word)
    except CelloquyError:
        return False
    return True


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from repl.versions import version_lines

    click.echo("\n".join(version_lines()))
    ctx.exit()


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]}, subcommand_metavar="COMMAND …")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """A terminal in which recurrent networks speak, while you turn their temperature and swap their cells.

    celloquy alone, or celloquy NAME, opens the REPL. Every command explains itself with --help.
    """


add_common_options(cli)


def main() -> None:
    """The program ``celloquy``."""
    cli()
