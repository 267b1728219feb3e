"""Classifiers on the same reviews for the same time: cells, one and two directions, with and without word vectors.

Run it by name: ``python tests/benchmarks/classifier.py reviews.csv --vectors glove.50d.txt [--minutes 2]
[--side-by-side 2] [--write docs/labelled.md]``; ``tests/benchmarks/labelled_data.py`` makes both files. Options after
``--`` go to ``celloquy train``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from runs import events, show, train  # noqa: E402

from checkpoints.header import read_header  # noqa: E402

SIZES = "--layers 1 --hidden 64 --dropout 0.3 --tokens word:20000 --lowercase --max-tokens 150 --batch 64 --lr 3e-3"


def trained(choice: tuple[str, bool, bool], options: argparse.Namespace, out: Path) -> tuple[float, float, float]:
    """Train one classifier in a process of its own: accuracy, loss, and how often it read the reviews."""
    cell, both, vectors = choice
    name = f"{cell}-{int(both)}-{int(vectors)}"
    given = ["--task", "classify", *SIZES.split(), "--minutes", str(options.minutes), "--seed", "1", "--threads", "1"]
    given += ["--bidirectional"] if both else []
    given += ["--vectors", str(options.vectors)] if vectors else ["--embed", "50"]
    path = train(options.reviews, name, cell, out, [*given, *options.train_options])
    header, (done,) = read_header(path), events(path, "done")
    epochs = done["tokens"] / header.split["train_tokens"]
    print(f"{name}: {header.figures['val_accuracy']:.4f}", file=sys.stderr, flush=True)
    return header.figures["val_accuracy"], header.figures["val_loss"], epochs


def table(rows: dict[tuple[str, bool, bool], tuple[float, float, float]], minutes: float) -> str:
    """The rows as Markdown, in the order of the texts that teach it."""
    lines = [f"| cell | directions | word vectors | accuracy after {minutes:g} min | loss, nats a text | epochs |"]
    lines.append("|---|---|---|---|---|---|")
    for (cell, both, vectors), (accuracy, loss, epochs) in rows.items():
        how = f"{2 if both else 1} | {'GloVe' if vectors else 'none'}"
        lines.append(f"| `{cell}` | {how} | {accuracy:.3f} | {loss:.3f} | {epochs:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Train each classifier and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reviews", type=Path)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--cells", default="rnn,lstm,gru")
    parser.add_argument("--side-by-side", type=int, default=1, help="Classifiers that train at the same time.")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the table between its marks in this page.")
    parser.add_argument("train_options", nargs="*")
    options = parser.parse_args()
    options.reviews, options.vectors = options.reviews.resolve(), options.vectors.resolve()
    choices = list(itertools.product(options.cells.split(","), (False, True), (False, True)))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.side_by_side) as pool:
        rows = pool.map(lambda choice: trained(choice, options, Path(folder)), choices)
        text = table(dict(zip(choices, rows, strict=True)), options.minutes)
    show(text, options.write, "classifier")


if __name__ == "__main__":
    main()
