"""``celloquy classify``: what labels texts have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from repl.click_options import current_program
from repl.prompts import PromptSource
from repl.streams import to_json
from repl.table import table
from repl.visible import one_line


@click.command("classify")
@click.argument("name", metavar="NAME")
@click.option("--cell", metavar="CELL", help="The family's checkpoint of this cell.")
@click.option("-p", "--prompt", metavar="TEXT", help="The text to judge; else --prompt-file or standard input.")
@click.option("--prompt-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the text from a file.")
@click.option("--lines", is_flag=True, help="Make every line a text of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a text.")
def command(
    name: str, cell: str | None, prompt: str | None, prompt_file: Path | None, lines: bool, as_json: bool
) -> None:
    """Print the labels of a text with their probabilities, the likeliest first; with --lines, of every line.

    NAME is a classifier (train --task classify), or a model that labels steer (train --label-column): that is turned
    round by Bayes' rule.
    """
    from checkpoints.finding import find

    source = PromptSource(prompt, prompt_file, lines)
    path = find(name, cell)
    registry = current_program().registry()
    from checkpoints.labels.classifier import BAYES, load_classifier

    classifier = load_classifier(path, registry=registry)
    if classifier.method == BAYES:
        print(one_line(f"{classifier.name} writes; its labels are told by {classifier.method}"), file=sys.stderr)
    texts: list[str] = []

    def kept() -> Iterator[str]:
        for text in source.prompts():
            texts.append(text)
            yield text

    for number, found in enumerate(classifier.classify_all(kept())):
        if as_json:
            print(to_json(_object(texts.pop(0), found, classifier.name, classifier.method)))
        elif lines:
            texts.pop(0)
            print("  ".join(f"{one_line(label)} {share:.4f}" for label, share in found.items()))
        else:
            print(table((), [(label, f"{share:.4f}") for label, share in found.items()]))
        if number % 256 == 255 or not texts:
            sys.stdout.flush()


def _object(text: str, found: dict[str, float], checkpoint: str, method: str) -> dict[str, Any]:
    label = next(iter(found))
    return {
        "text": text,
        "label": label,
        "probability": found[label],
        "probabilities": found,
        "checkpoint": checkpoint,
        "method": method,
    }
