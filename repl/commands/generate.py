"""``celloquy generate``: text for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cells.errors import UsageError
from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program
from repl.prompts import PromptSource
from repl.streams import argument_text, is_terminal


def _declare(program: Program) -> Iterable[Option]:
    from repl.registration import sampling_options

    return sampling_options(program.registry())


@click.command("generate", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="[NAME]", default="shakespeare")
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("-p", "--prompt", metavar="TEXT", help="The text to continue; else --prompt-file or standard input.")
@click.option("--prompt-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the prompt from a file.")
@click.option("--lines", is_flag=True, help="Make every line of the prompt a prompt of its own.")
@click.option(
    "-n", "--length", type=click.IntRange(min=0), default=200, metavar="N", help="Tokens to draw. [default: 200]"
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text (repeatable).")
@click.option("--samples", type=click.IntRange(min=1), default=1, metavar="K", help="Continuations of each prompt.")
@click.option(
    "--best-of", type=click.IntRange(min=1), metavar="N", help="Draw N of each prompt and print the likeliest."
)
@click.option("--regex", metavar="PATTERN", help="Write only what this regular expression matches as a whole.")
@click.option("--no-echo", is_flag=True, help="Leave out the prompt.")
@click.option(
    "--compile", "compiled", is_flag=True, help="Write by compiled steps: for long texts, needs a C++ compiler."
)
@click.option("--json", "as_json", is_flag=True, help="Print an object a line.")
@click.option("--progress", is_flag=True, help="Say on standard error how far it is (a terminal is told anyway).")
def command(
    name: str,
    cell: str | None,
    prompt: str | None,
    prompt_file: Path | None,
    lines: bool,
    length: int,
    stop: tuple[str, ...],
    samples: int,
    best_of: int | None,
    regex: str | None,
    no_echo: bool,
    compiled: bool,
    as_json: bool,
    progress: bool,
    **parameters: Any,
) -> None:
    """Print text that a checkpoint writes. NAME is a family, family.cell, or a path.

    One continuation streams as it is written. Several (--samples, --lines) are written side by side and printed with an
    empty line between them, or as JSON. With --regex a text ends where the pattern allows nothing more, and always
    within the length; classes like \\w are those of ASCII.
    """
    from checkpoints.finding import find
    from repl.stops import check_stops

    source = PromptSource(prompt, prompt_file, lines)
    stops = check_stops([argument_text(text) for text in stop])
    check_together(lines, prompt is None and prompt_file is None, stops, samples, best_of, regex)
    program = current_program()
    settings = given(_declare(program), parameters)
    path = find(name, cell)
    from checkpoints.loading import load_checkpoint
    from repl.generation import Generation
    from repl.generator import Writer

    registry = program.registry()
    prompts = source.prompts()
    writer = Writer(load_checkpoint(path, registry=registry), registry, **settings)
    if "seed" not in settings:
        print(f"seed {writer.seed}", file=sys.stderr, flush=True)
    regex = None if regex is None else argument_text(regex)
    generation = Generation(writer, length, stops, samples, not no_echo, regex, best_of, progress, compiled)
    if as_json:
        generation.print_json(prompts)
    elif samples == 1 and best_of is None and not lines:
        (only,) = prompts
        generation.print_stream(only)
    else:
        generation.print_texts(prompts)


def check_together(
    lines: bool, from_input: bool, stops: tuple[str, ...], samples: int, best_of: int | None, regex: str | None
) -> None:
    """UsageError for flags that make no sense together, before anything is loaded."""
    if regex is not None and stops:
        raise UsageError("give --stop or --regex, not both: a text that is cut would not match")
    if best_of is not None and samples > best_of:
        raise UsageError(f"--best-of {best_of} cannot give the {samples} texts of --samples")
    if lines and from_input and is_terminal(sys.stdin):
        raise UsageError("--lines needs lines: give --prompt-file, --prompt or standard input that is not a terminal")
    if regex is not None:
        from repl.pattern import byte_automaton

        byte_automaton(argument_text(regex))
