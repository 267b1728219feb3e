"""Which is faster for a built-in cell: its steps, the sequence as a whole, or the fused kernel? Prints the table behind
``cells.kernels``.

Run it by name: ``python tests/benchmarks/kernels.py [--rounds N] [--batch B]``. Thousands of tokens a second, one layer
of 512 units, 96 tokens, 128 steps; they take turns within each round, medians over the rounds. Steps are the loop over
``step`` under autograd, which plugins' cells take; whole is ``cells.whole_loops``, for training only. Freed memory is
kept, as it is in a process that trains.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from cells.gru import GRU
from cells.kernels import FUSED, builtin_kernel
from cells.lstm import LSTM
from cells.memory import keep_freed_memory
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN

HIDDEN, VOCABULARY, STEPS = 512, 96, 128


def rate(run: Callable[[], None], tokens: int) -> float:
    """Thousands of tokens a second of one run."""
    start = time.perf_counter()
    run()
    return tokens / (time.perf_counter() - start) / 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    keep_freed_memory()
    tokens = torch.randint(0, VOCABULARY, (STEPS, arguments.batch))
    print("| cell | threads | products | steps, training | whole | kernel | steps, inference | kernel |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in (1, torch.get_num_threads()):
        torch.set_num_threads(threads)
        for cell in (RNN(), LSTM(), GRU()):
            for dtype in (torch.float32, torch.bfloat16):
                row = measure(cell, dtype, tokens, arguments.rounds)
                cells = " | ".join(f"{value:.1f}" for value in row)
                print(f"| {cell.label} | {threads} | {str(dtype).removeprefix('torch.')} | {cells} |", flush=True)


def measure(cell: RNN | LSTM | GRU, dtype: torch.dtype, tokens: torch.Tensor, rounds: int) -> list[float]:
    """Training by steps, whole and kernel, inference by steps and kernel, in thousands of tokens a second."""
    kernel = FUSED[type(cell)]
    runs: list[Callable[[], None]] = []
    for training in (True, False):
        for finder in (None, builtin_kernel, lambda *_: kernel) if training else (None, lambda *_: kernel):
            model = LanguageModel(cell, ModelConfig(VOCABULARY, HIDDEN), kernels=finder).train(training)
            model.compute_dtype = dtype
            runs.append(_train(model, tokens) if training else _infer(model, tokens))
    for run in runs:
        run()
    rates = [[rate(run, tokens.numel()) for run in runs] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*rates, strict=True)]


def _train(model: LanguageModel, tokens: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        logits, _ = model(tokens)
        F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()

    return run


def _infer(model: LanguageModel, tokens: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            model(tokens)

    return run


if __name__ == "__main__":
    main()
