"""Characters a second of one stream, against the usual loop and against the memory floor. Prints a table.

Run it by name: ``python tests/benchmarks/decoding.py [--rounds N] [--hidden 512,256,128] [--cells rnn,lstm,gru]
[--store bf16]``; with bf16 the weights are those that a checkpoint stored in bfloat16 has, as those that ship do.

The baseline is one call of nn.RNN/LSTM/GRU for each character, softmax, multinomial and item(), in float32. The floor
does the recurrent and the readout product of each step and nothing else. Ours is ``Writer.step``, text and surprise
included, at temperature 0.8; ``compiled`` is ``Writer.generate(compile=True)``, with a C++ compiler. ``64 samples`` are
``Writer.generate_batch``; ``64 shared`` are what ``celloquy generate --samples 64 -n 1000`` writes, with a process for
each core, begun and ended in the time measured. All else is on one thread, turn by turn within each round; ratios are
medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from cells.gru import GRU
from cells.initialise import initialise
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from checkpoints.files import save_safetensors
from checkpoints.header import Header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import CharTokenizer
from checkpoints.validation import STORED
from repl.generation import Generation
from repl.generator import Writer

ALPHABET = "".join(chr(code) for code in range(32, 127))
Run = Callable[[int], None]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
SPEEDS = ("usual loop", "floor", "ours", "compiled", "64 samples", "64 shared")
RATIOS = {
    "ours to loop": (2, 0),
    "compiled to loop": (3, 0),
    "ours to floor": (2, 1),
    "compiled to floor": (3, 1),
    "64 to one": (4, 2),
    "64 shared to one": (5, 2),
}
"""What is divided by what, by their places in SPEEDS."""


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
    parser.add_argument("--hidden", default="512")
    parser.add_argument("--cells", default="rnn,lstm,gru")
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--store", choices=("fp32", "bf16"), default="fp32")
    arguments = parser.parse_args()
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"one layer, {cores} cores, weights stored in {arguments.store}; thousands of characters a second")
    print(
        f"| H | cell | {' | '.join(SPEEDS)} | {' | '.join(RATIOS)} |\n|---|---|{'---|' * (len(SPEEDS) + len(RATIOS))}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for hidden in map(int, arguments.hidden.split(",")):
            for cell in arguments.cells.split(","):
                writer = Writer(load_checkpoint(save(Path(folder), cell, hidden, arguments.store)), seed=1)
                print(row(cell, hidden, writer, arguments.characters, arguments.rounds, cores), flush=True)


def save(folder: Path, cell: str, hidden: int, store: str = "fp32") -> Path:
    """A checkpoint with random weights."""
    tokenizer = CharTokenizer(ALPHABET)
    made = {"rnn": RNN, "lstm": LSTM, "gru": GRU}[cell]()
    config = ModelConfig(tokenizer.vocabulary_size, hidden, unknown_id=tokenizer.unknown_id)
    model = LanguageModel(made, config)
    initialise(model, seed=1)
    about = {"name": cell, "version": made.version, "options": made.options, "distribution": "celloquy"}
    header = Header("bench", about, config.to_json(), tokenizer.to_json(), figures={"val_loss": 1.0})
    path = folder / f"bench{hidden}.{cell}.safetensors"
    tensors = {name: value.to(STORED[store]) for name, value in stored_tensors(model).items()}
    save_safetensors(path, tensors, header.dumps())
    return path


def row(cell: str, hidden: int, writer: Writer, characters: int, rounds: int, cores: int) -> str:
    """One line of the table."""

    def batch(total: int) -> None:
        writer.generate_batch(["A"] * 64, total // 64)

    def shared(total: int) -> None:
        torch.set_num_threads(cores)
        with contextlib.redirect_stdout(io.StringIO()):
            Generation(writer, total // 64, samples=64).print_texts(["A"])
        torch.set_num_threads(1)

    def compiled(total: int) -> None:
        writer.generate("A", total, compile=True)

    runs = [baseline(cell.upper(), hidden), floor(GATES[cell], hidden), ours(writer), compiled, batch, shared]
    for run in runs:
        run(200)
    lengths = [characters, characters, characters, characters * 8, characters * 8, characters * 32]
    rates = [[rate(run, length) for run, length in zip(runs, lengths, strict=True)] for _ in range(rounds)]
    speeds = [statistics.median(column) / 1e3 for column in zip(*rates, strict=True)]
    ratios = [statistics.median(one[above] / one[below] for one in rates) for above, below in RATIOS.values()]
    numbers = [f"{value:.1f}" for value in speeds] + [f"{value:.2f}" for value in ratios]
    return f"| {hidden} | {cell} | {' | '.join(numbers)} |"


if __name__ == "__main__":
    main()
