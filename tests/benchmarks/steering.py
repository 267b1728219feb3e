"""How often a classifier that was trained on real texts gives the label that a generator was asked for.

Run it by name: ``python tests/benchmarks/steering.py /tmp/data/names.csv [--temperatures 0.5,0.7] [--strengths 1,2]``;
``tests/benchmarks/labelled_data.py`` makes the file. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import celloquy  # noqa: E402
from checkpoints.labels.corpus import read_labelled  # noqa: E402
from repl.batch import Job  # noqa: E402

COMMON = {"cell": "gru", "embed": 32, "bptt": 32, "threads": "1", "precision": "bf16"}
WRITER = {"hidden": 192, "batch": 32, "dropout": 0.2, "lr": 5e-3, "reset": 0.1, "val": 0.0, "steps": 1200}
JUDGE = {"hidden": 96, "batch": 64, "dropout": 0.2, "bidirectional": True, "steps": 800, "embed": 32, "val": 0.0}


def main() -> None:
    """Train both, write from each label at each temperature, and print who agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--temperatures", default="0.5,0.7")
    parser.add_argument("--strengths", default="1,1.5,2")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="of the generator's training")
    options = parser.parse_args()
    corpus = read_labelled([options.corpus])
    real = {text.strip().casefold() for text in corpus.texts}
    with tempfile.TemporaryDirectory() as out:
        (kinds,) = celloquy.train(
            options.corpus, name="kinds", task="classify", cell="gru", threads="1", out=out, **JUDGE
        )
        given = {**COMMON, **WRITER, "label_dropout": 0.0, "seed": options.seed}
        (names,) = celloquy.train(options.corpus, name="names", label_column="label", out=out, **given)
        judge, writer = celloquy.load_classifier(kinds), celloquy.load(names, seed=7)
        print("| temperature | strength | label | the classifier agrees | different texts | of them in the corpus |")
        print("|---|---|---|---|---|---|")
        rounds = itertools.product(
            map(float, options.temperatures.split(",")), map(float, options.strengths.split(",")), corpus.names
        )
        for temperature, strength, label in rounds:
            jobs = [Job("", sample) for sample in range(options.samples)]
            sampling = {"temperature": temperature, "label": label, "label_strength": strength}
            done = writer.continuations(jobs, 20, stop=("\n",), **sampling)
            texts = [one.text.strip() for one in done]
            agree = sum(next(iter(found)) == label for found in judge.classify_all(texts)) / len(texts)
            distinct = set(texts)
            known = sum(text.casefold() in real for text in distinct) / len(distinct)
            row = f"| {temperature:g} | {strength:g} | {label} | {agree:.3f} | {len(distinct)} | {known:.0%} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
