"""Reading a text that is there already, against stepping through it. Prints a table.

Run it by name: ``python tests/benchmarks/scoring.py [--rounds N] [--hidden H] [--characters N] [--threads N]``.

The text is what the checkpoint itself writes. ``step`` is ``Decoder.step_one``, a token at a time, with the token's
surprise, on one thread; ``score`` is ``Writer.score``, which gives the same surprises; ``replay`` is what a swap or a
long prompt does, the state after the text. Thousands of characters a second, of the checkpoints that ship or, with
``--hidden``, of random weights; at most 10,000 characters of the text are stepped through. Ratios are medians of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from checkpoints.loading import load_checkpoint  # noqa: E402
from repl.generator import Writer  # noqa: E402
from repl.sampling import as_logits, surprises  # noqa: E402
from repl.text_model import OneThread  # noqa: E402
from tests.benchmarks.decoding import save  # noqa: E402

STEPPED = 10_000
"""Characters that are stepped through, at most."""


def rate(run: Callable[[], object], characters: int) -> float:
    """Thousands of characters a second."""
    start = time.perf_counter()
    run()
    return characters / (time.perf_counter() - start) / 1e3


def stepping(writer: Writer, text: str) -> Callable[[], object]:
    """The surprise of every token, one step after another."""
    model = writer._reading.model
    tokens = model.tokenizer.encode(text)

    def run() -> float:
        state, total = model.beginning().state, 0.0
        with OneThread():
            for token, following in itertools.pairwise(tokens):
                logits, state = model.decoder.step_one(token, state)
                total += float(surprises(as_logits(model.rows(logits)[0]), following))
        return total

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--characters", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads at most; {options.characters:,} characters")
    print("| cell | H | step | score | replay | score to step | replay to step |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for cell in ("rnn", "lstm", "gru"):
            path = save(Path(folder), cell, options.hidden) if options.hidden else "shakespeare"
            writer = Writer(load_checkpoint(path, None if options.hidden else cell))
            text = "".join(writer.generate_batch(["\n"] * 64, options.characters // 64, seed=1))
            print(row(cell, writer, text, options.rounds), flush=True)


def row(cell: str, writer: Writer, text: str, rounds: int) -> str:
    """One line of the table."""
    model, short = writer._reading.model, text[:STEPPED]
    step = stepping(writer, short)
    parts = {
        "step": (step, len(short)),
        "score": (lambda: writer.score(text), len(text)),
        "replay": (lambda: model.read_text(text, model.beginning()), len(text)),
    }
    for run, _ in parts.values():
        run()
    rates = [[rate(*part) for part in parts.values()] for _ in range(rounds)]
    speeds = " | ".join(f"{statistics.median(column):.1f}" for column in zip(*rates, strict=True))
    ratios = " | ".join(f"{statistics.median(one[place] / one[0] for one in rates):.1f}" for place in (1, 2))
    return f"| {cell} | {writer.loaded.model.config.hidden_size} | {speeds} | {ratios} |"


if __name__ == "__main__":
    main()
