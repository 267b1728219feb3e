"""``celloquy help``: a command, a topic or a command of the REPL explained; the manual page; docs/commands.md."""

from __future__ import annotations

import difflib

import click

from cells.errors import UsageError
from repl.click_options import current_program
from repl.streams import shown


@click.command("help")
@click.argument("topic", metavar="[TOPIC]", nargs=-1)
@click.option("--man", is_flag=True, help="Print the manual page celloquy(1), in roff.")
@click.option("--markdown", is_flag=True, help="Print the reference of all commands, as in docs/commands.md.")
def command(topic: tuple[str, ...], man: bool, markdown: bool) -> None:
    """Explain TOPIC: a command, one of the REPL's (/temp), or names, sampling, keys, environment, exit-status, files.

    celloquy help --man > ~/.local/share/man/man1/celloquy.1 makes man celloquy work.
    """
    if (man or markdown) and (topic or man == markdown):
        raise UsageError("give a topic, --man or --markdown, one of them")
    if man:
        click.echo(_manual(), nl=False)
    elif markdown:
        from repl.cli import cli
        from repl.reference import command_pages
        from repl.reference_page import reference_page

        click.echo(reference_page(command_pages(cli, current_program())), nl=False)
    else:
        click.echo(shown(_explained(" ".join(topic))))


def _manual() -> str:
    from repl.cli import cli
    from repl.manual import manual
    from repl.reference import command_pages
    from repl.registration import sampling_options
    from repl.slash import command_table
    from repl.topics import topics
    from repl.versions import program_version

    program = current_program()
    options = sampling_options(program.registry())
    summary = (cli.help or "").partition("\n")[0].rstrip(".")
    return manual(program_version(), summary, command_pages(cli, program), command_table(options), topics(options))


def _explained(name: str) -> str:
    """The page of help of this name; the first page without one. UsageError suggests the nearest name."""
    from repl.cli import cli
    from repl.help_pages import page
    from repl.registration import sampling_options
    from repl.slash import command_table
    from repl.topics import topics

    parent = click.get_current_context().parent
    options = sampling_options(current_program().registry())
    by_name = {topic.name: topic for topic in topics(options)}
    if not name:
        root = parent.get_help() if parent is not None else ""
        return f"{root}\n\nTopics: {', '.join(by_name)}; celloquy help TOPIC explains one."
    if name in by_name:
        return f"{by_name[name].title}\n\n{by_name[name].text}"
    slash = command_table(options)
    if name.startswith("/") and name[1:] in slash:
        return page(slash.find(name))
    found, context = _command(cli, name.split())
    if found is not None:
        return found.get_help(context)
    known = [*cli.list_commands(context), *by_name, *(f"/{one.name}" for one in slash)]
    near = difflib.get_close_matches(name, known, 1)
    advice = f"did you mean {near[0]}?" if near else f"there are the commands, and {', '.join(by_name)}"
    raise UsageError(f"there is no topic {name!r}; {advice}")


def _command(group: click.Group, words: list[str]) -> tuple[click.Command | None, click.Context]:
    """The command that these words name, with its context; None with the context so far if there is none."""
    context = click.Context(group, info_name="celloquy", obj=current_program(), help_option_names=["-h", "--help"])
    command: click.Command = group
    for word in words:
        below = command.get_command(context, word) if isinstance(command, click.Group) else None
        if below is None:
            return None, context
        command = below
        context = click.Context(command, parent=context, info_name=word)
    return command, context
