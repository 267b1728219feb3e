"""Options as they are declared (``plugins.options``) turned into flags of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cells.errors import UsageError
from plugins.options import Option
from repl.program import Program

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic from click 8.3 on


class DeclaredType(_ParamType):
    """Reads and checks a flag's value by the option's own declaration."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = option.metavar or _METAVARS.get(option.kind, "text")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The checked value; the flag is named by click."""
        try:
            parsed = self.option.parse(value) if isinstance(value, str) else value
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from error
        return parsed[0] if self.option.multiple and isinstance(parsed, tuple) else parsed

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The choices, or what the metavar stands for."""
        from repl.shell_completion import candidates

        choices = [CompletionItem(choice) for choice in self.option.choices if choice.startswith(incomplete)]
        return choices or candidates(ctx, self.option.metavar, incomplete)


_METAVARS: Mapping[Any, str] = {int: "N", float: "X", str: "TEXT"}


def flag(option: Option) -> click.Option:
    """The flag of an option. A flag that is not given has the value None, so that a command knows what was given."""
    names = [f"--{option.name}", option.key]
    help_text = option.help + _default_text(option)
    if option.kind is bool:
        names[0] += f"/--no-{option.name}" if option.default else ""
        return click.Option(names, is_flag=True, default=None, help=help_text)
    if option.short:
        names.insert(0, option.short)
    kind = DeclaredType(option)
    metavar = "|".join(option.choices) if option.choices else option.metavar or kind.name
    return click.Option(names, type=kind, multiple=option.multiple, default=None, metavar=metavar, help=help_text)


def _default_text(option: Option) -> str:
    if option.kind is bool or option.multiple or option.default is None or option.default == "":
        return ""
    return f" [default: {option.format(option.default)}]"


def given(options: Iterable[Option], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Of a command's parameters, the values of these options that stood on the command line, by key."""
    values = {option.key: parameters.get(option.key) for option in options}
    return {key: value for key, value in values.items() if value is not None and value != ()}


class OptionsCommand(click.Command):
    """A command with flags from declarations, which are looked up only when it is called or asked for help.

    ``declare`` gives them; it is handed the program, because plugins bring some of them.
    """

    declare: Callable[[Program], Iterable[Option]]

    def __init__(self, *args: Any, declare: Callable[[Program], Iterable[Option]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.declare = declare

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then one for each declared option, then those of every command."""
        made = ctx.meta.get(self)  # type: ignore[call-overload]
        if made is None:
            made = ctx.meta[self] = [flag(option) for option in self.declare(program_of(ctx))]  # type: ignore[index]
        own = super().get_params(ctx)
        common = next((index for index, one in enumerate(own) if "--plugin" in one.opts), len(own))
        return [*own[:common], *made, *own[common:]]


def program_of(ctx: click.Context) -> Program:
    """The program that a command belongs to; a plain one when a command is called by itself."""
    return ctx.find_object(Program) or Program()


def current_program() -> Program:
    """The program of the command that is running."""
    return program_of(click.get_current_context())


COMMON: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--plugin",), {"multiple": True, "metavar": "FILE.py", "help": "Load a plugin file (repeatable)."}),
    (("--debug",), {"is_flag": True, "help": "Show the traceback of an error."}),
)


def add_common_options(command: click.Command) -> click.Command:
    """Give a command, and all commands below it, the options that every command takes.

    They were read from the whole command line before (``Program``); here they only are allowed, and explained.
    """
    present = {name for parameter in command.params for name in parameter.opts}
    for names, attributes in COMMON:
        if not present & set(names):
            command.params.append(click.Option(names, expose_value=False, **attributes))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_common_options(below)
    return command
