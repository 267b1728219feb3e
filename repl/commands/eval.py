"""``celloquy eval``: how well a checkpoint foretells a text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cells.errors import UsageError
from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program
from repl.streams import shown, to_json
from repl.table import table
from repl.unknown import unknown_warning

if TYPE_CHECKING:
    from checkpoints.loading import Loaded
    from plugins.registry import Registry


def _declare(program: Program) -> Iterable[Option]:
    """How a corpus is read, as ``train`` reads it; how the text for --overlap is drawn."""
    return (*_reading_options(), *_column_options(), *_drawing_options())


def _reading_options() -> tuple[Option, ...]:
    from checkpoints.options import TRAIN_OPTIONS

    return (TRAIN_OPTIONS["encoding"], TRAIN_OPTIONS["errors"])


def _column_options() -> tuple[Option, ...]:
    from checkpoints.labels.corpus import LABEL_COLUMN
    from checkpoints.options import TRAIN_OPTIONS

    said = "Column of a labelled corpus that holds the labels."
    return (TRAIN_OPTIONS["text-column"], replace(TRAIN_OPTIONS["label-column"], help=said, default=LABEL_COLUMN))


def _drawing_options() -> tuple[Option, ...]:
    from repl.sampling_options import CORE_OPTIONS

    return (CORE_OPTIONS["temperature"], CORE_OPTIONS["seed"])


@click.command("eval", cls=OptionsCommand, declare=_declare)
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@click.option(
    "--overlap",
    multiple=True,
    metavar="CORPUS",
    type=click.Path(path_type=Path),
    help="Report the longest passages that FILE, or else what NAME writes, has in common with CORPUS (repeatable).",
)
@click.option(
    "-n",
    "--length",
    type=click.IntRange(min=1, max=1_000_000),
    default=20_000,
    metavar="N",
    help="Tokens that NAME writes for --overlap. [default: 20000]",
)
@click.option(
    "--minimum",
    type=click.IntRange(min=2),
    default=20,
    metavar="N",
    help="Characters from which on a common passage counts. [default: 20]",
)
def command(
    name: str,
    file: Path | None,
    cell: str | None,
    as_json: bool,
    overlap: tuple[Path, ...],
    length: int,
    minimum: int,
    **parameters: Any,
) -> None:
    """Score the text in FILE: tokens, nats a token, bits a character, perplexity.

    With --overlap: does NAME copy? The text in FILE, or 20000 tokens that NAME writes, is compared with the corpus that
    it was trained on; a text that it never saw, given as FILE, shows what is common anyway.

    A classifier is scored on labelled text (CSV, TSV, JSON Lines): accuracy, precision, recall, confusion, calibration.
    """
    from checkpoints.finding import find
    from checkpoints.header import CLASSIFY, read_header

    if file is None and not overlap:
        raise UsageError("give a FILE to score, or --overlap CORPUS to look for copied passages")
    path = find(name, cell)
    program = current_program()
    registry = program.registry()
    columns = given(_column_options(), parameters)
    if file is not None and not overlap and (columns or read_header(path).task == CLASSIFY):
        reading = given(_reading_options(), parameters)
        _score_labels(path, file, {**columns, **reading}, registry, as_json)
        return
    from checkpoints.corpus import read_corpus
    from checkpoints.loading import load_checkpoint

    reading = given(_reading_options(), parameters)
    text = read_corpus([file], **reading).text if file is not None else None
    corpus = read_corpus(list(overlap), **reading).text if overlap else ""
    loaded = load_checkpoint(path, registry=registry)
    if overlap:
        from repl.overlap import compared, overlap_lines, written

        texts = [text] if text is not None else written(loaded, registry, length, given(_drawing_options(), parameters))
        found = compared(loaded, texts, corpus, minimum)
        click.echo(to_json(found.to_json()) if as_json else shown(overlap_lines(found)))
    elif text is not None:
        _score(loaded, text, as_json)


def _score(loaded: Loaded, text: str, as_json: bool) -> None:
    from checkpoints.evaluate import evaluate

    figures = evaluate(loaded, text)
    if figures["unknown"]:
        print(unknown_warning(loaded.name, figures["unknown"], "read as unknown and not scored"), file=sys.stderr)
    if as_json:
        click.echo(to_json(figures))
        return
    figures.pop("unknown")
    rows = [(key, str(value) if isinstance(value, int) else f"{value:.6g}") for key, value in figures.items()]
    click.echo(table((), rows, right=(1,)))


def _score_labels(path: Path, file: Path, reading: dict[str, Any], registry: Registry, as_json: bool) -> None:
    """Print how well a model tells the labels of labelled text."""
    from checkpoints.labels.classifier import load_classifier
    from checkpoints.labels.corpus import read_labelled
    from checkpoints.labels.figures import report

    classifier = load_classifier(path, registry=registry)
    figures = classifier.evaluate(read_labelled([file], **reading, known=classifier.labels))
    click.echo(to_json(figures) if as_json else "\n".join(map(shown, report(figures))))
