"""``celloquy score``: the likelihood of each line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cells.errors import UsageError
from repl.click_options import current_program
from repl.streams import file_lines, input_lines, is_terminal, shown, to_json
from repl.unknown import unknown_warning


@click.command("score")
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a line.")
@click.option("--progress", is_flag=True, help="Say on standard error how far it is (a terminal is told anyway).")
def command(name: str, file: Path | None, cell: str | None, as_json: bool, progress: bool) -> None:
    """Print how likely a checkpoint finds each line of FILE or of standard input.

    A line of the result has nats, bits a character, tokens and the line, with tabs between them. A line is read as the
    first of a text, and its first character counts; its line break does not. Unknown characters are not scored.
    """
    from checkpoints.finding import find

    from_input = file is None or str(file) == "-"
    if from_input and is_terminal(sys.stdin):
        raise UsageError("score needs lines: name a FILE, or give standard input that is not a terminal")
    path = find(name, cell)
    registry = current_program().registry()
    from checkpoints.loading import load_checkpoint
    from repl.line_scores import LineScore, score_lines
    from repl.text_model import TextModel
    from repl.work_progress import WorkProgress

    lines = input_lines() if from_input or file is None else file_lines(file)
    model = TextModel(load_checkpoint(path, registry=registry))

    def line(score: LineScore) -> str:
        if not as_json:
            bits = score.bits_per_character
            return f"{score.nats:.4f}\t{'-' if bits is None else f'{bits:.4f}'}\t{score.tokens}\t{shown(score.text)}"
        return to_json(
            {
                "text": score.text,
                "nats": score.nats,
                "tokens": score.tokens,
                "characters": score.characters,
                "nats_per_token": score.nats_per_token,
                "bits_per_character": score.bits_per_character,
                "unknown": list(score.unknown),
                "cell": model.cell_name,
                "checkpoint": model.name,
            }
        )

    told: set[str] = set()
    shower = WorkProgress("lines", None, progress)
    try:
        for score in score_lines(model, lines):
            new = [character for character in score.unknown if character not in told]
            if new:
                told.update(new)
                print(unknown_warning(model.name, new, "read as unknown and not scored"), file=sys.stderr, flush=True)
            shower.add(1, score.tokens)
            sys.stdout.write(line(score) + "\n")
    finally:
        shower.close()
