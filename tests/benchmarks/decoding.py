"""Characters a second of one stream, against the usual loop and against the memory floor. Prints a table.

Run it by name: ``python tests/benchmarks/decoding.py [--rounds N] [--hidden H] [--characters N]``.

The baseline is one call of nn.RNN/LSTM/GRU for each character, softmax, multinomial and item(), in float32. The floor
does the recurrent and the readout product of each step and nothing else. Ours is ``Writer.step``, text and surprise
included, at temperature 0.8; ``batch of 64`` is ``Writer.generate_batch``. All on one thread, turn by turn within each
round; ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from checkpoints.loading import load_checkpoint
from checkpoints.train import train
from repl.generator import Writer

ALPHABET = "".join(chr(code) for code in range(32, 127))
Run = Callable[[int], None]


def baseline(kind: str, hidden: int) -> Run:
    """What every example does: one library call a character."""
    vocabulary = len(ALPHABET) + 1
    embedding, recurrent = nn.Embedding(vocabulary, hidden), getattr(nn, kind)(hidden, hidden)
    readout = nn.Linear(hidden, vocabulary)

    def run(characters: int) -> None:
        token, state = torch.zeros(1, 1, dtype=torch.int64), None
        with torch.no_grad():
            for _ in range(characters):
                y, state = recurrent(embedding(token), state)
                probabilities = torch.softmax(readout(y[0, 0]) / 0.8, -1)
                token.fill_(int(torch.multinomial(probabilities, 1).item()))

    return run


def floor(gates: int, hidden: int) -> Run:
    """The matrix-vector products alone: what the weights' way through memory costs."""
    matrices = [torch.randn(gates * hidden, hidden), torch.randn(len(ALPHABET) + 1, hidden)]
    vector = torch.randn(hidden)

    def run(characters: int) -> None:
        for _ in range(characters):
            for matrix in matrices:
                torch.mv(matrix, vector)

    return run


def ours(writer: Writer) -> Run:
    """Ours, one stream."""

    def run(characters: int) -> None:
        for _ in range(characters):
            writer.step()

    return run


def rate(run: Run, characters: int) -> float:
    """Characters a second."""
    start = time.perf_counter()
    run(characters)
    return characters / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--characters", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"one thread, H={arguments.hidden}, one layer; characters a second")
    print("| cell | usual loop | floor | ours | ours to loop | ours to floor | batch of 64 | batch to one stream |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.txt")
        corpus.write_text(ALPHABET * 40)
        options = {"hidden": arguments.hidden, "steps": 1, "threads": "1", "precision": "fp32"}
        paths = train(corpus, name="bench", cell="rnn,lstm,gru", out=folder, **options)
        for path, kind, gates in zip(paths, ("RNN", "LSTM", "GRU"), (1, 4, 3), strict=True):
            writer = Writer(load_checkpoint(path), seed=1)
            print(row(kind, gates, writer, arguments.hidden, arguments.characters, arguments.rounds), flush=True)


def row(kind: str, gates: int, writer: Writer, hidden: int, characters: int, rounds: int) -> str:
    """One line of the table."""

    def batch(total: int) -> None:
        writer.generate_batch(["A"] * 64, total // 64)

    runs = [baseline(kind, hidden), floor(gates, hidden), ours(writer), batch]
    for run in runs:
        run(200)
    rates = [[rate(run, characters if run is not batch else characters * 4) for run in runs] for _ in range(rounds)]
    middle = [statistics.median(column) for column in zip(*rates, strict=True)]
    ratios = [
        statistics.median(one[2] / one[0] for one in rates),
        statistics.median(one[2] / one[1] for one in rates),
        statistics.median(one[3] / one[2] for one in rates),
    ]
    speeds = " | ".join(f"{value:,.0f}" for value in middle[:3])
    return f"| {kind} | {speeds} | {ratios[0]:.1f} | {ratios[1]:.2f} | {middle[3]:,.0f} | {ratios[2]:.1f} |"


if __name__ == "__main__":
    main()
