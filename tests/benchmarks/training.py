"""Whole training steps a second, ours against the loop that every PyTorch text generator has. Prints a table.

Run it by name: ``python tests/benchmarks/training.py [--rounds N] [--threads N] [--hidden H] [--length T]``.

The baseline is nn.Embedding, nn.RNN/LSTM/GRU, nn.Linear, cross-entropy, clipping and Adam in float32 with carried,
detached state. Ours is the language model with the same sizes in this machine's default precision and the same rest;
freed memory is kept as the trainer keeps it (``--keep-memory none`` leaves that out, ``both`` gives it to the baseline
too). Each has a process of its own; they take turns within each round; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from torch import nn
from torch.nn import functional as F

from cells.cell import Cell
from cells.gru import GRU
from cells.lstm import LSTM
from cells.memory import keep_freed_memory
from cells.model import LanguageModel, ModelConfig
from cells.packed import packing_works
from cells.rnn import RNN
from cells.state import detach

VOCABULARY = 96
CELLS: dict[str, Callable[[], Cell]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
Run = Callable[[], None]


class Baseline(nn.Module):
    """Embedding, torch.nn's recurrent layer, readout."""

    def __init__(self, kind: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.recurrent = getattr(nn, kind)(hidden, hidden)
        self.readout = nn.Linear(hidden, VOCABULARY)


def baseline_step(kind: str, hidden: int, tokens: torch.Tensor) -> Run:
    """One training step of the baseline."""
    model = Baseline(kind, hidden)
    optimizer = torch.optim.Adam(model.parameters())
    state = None

    def run() -> None:
        nonlocal state
        y, state = model.recurrent(model.embedding(tokens), state)
        loss = F.cross_entropy(model.readout(y).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()

    return run


def our_step(cell: Cell, hidden: int, tokens: torch.Tensor) -> Run:
    """One training step of ours, in bfloat16 where the machine has it."""
    model = LanguageModel(cell, ModelConfig(VOCABULARY, hidden))
    model.compute_dtype = torch.bfloat16 if packing_works(torch.bfloat16) else None
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    state = model.initial_state(tokens.shape[1])

    def run() -> None:
        nonlocal state
        logits, state = model(tokens, state)
        loss = F.cross_entropy(logits.flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = detach(state)

    return run


def seconds(run: Run) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(asked: Connection, side: str, cell: str, arguments: argparse.Namespace) -> None:
    """In a process of its own: a step whenever something comes through the pipe, and its seconds back."""
    torch.set_num_threads(arguments.threads)
    if arguments.keep_memory in (side, "both"):
        keep_freed_memory()
    tokens = torch.randint(0, VOCABULARY, (arguments.length, arguments.batch))
    made = CELLS[cell]()
    run = our_step(made, arguments.hidden, tokens) if side == "ours" else baseline_step(cell, arguments.hidden, tokens)
    while asked.recv():
        asked.send(seconds(run))


def compare(cell: str, arguments: argparse.Namespace) -> list[list[float]]:
    """Seconds of a step of the baseline and of ours, round after round."""
    spawn = multiprocessing.get_context("spawn")
    pipes = []
    for side in ("baseline", "ours"):
        here, there = spawn.Pipe()
        spawn.Process(target=take_turns, args=(there, side, cell, arguments), daemon=True).start()
        pipes.append(here)

    def turn(pipe: Connection) -> float:
        pipe.send(True)
        return float(pipe.recv())

    rounds = [[turn(pipe) for pipe in pipes] for _ in range(arguments.rounds + 1)]
    for pipe in pipes:
        pipe.send(False)
    return rounds[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--keep-memory", choices=("ours", "both", "none"), default="ours")
    arguments = parser.parse_args()
    tokens = arguments.length * arguments.batch
    print(f"{arguments.threads} threads, H={arguments.hidden}, T={arguments.length}, B={arguments.batch}; thousands/s")
    print("| cell | baseline | ours | ratio |\n|---|---|---|---|")
    for cell in CELLS:
        rounds = compare(cell, arguments)
        theirs, ours = (tokens / statistics.median(column) / 1e3 for column in zip(*rounds, strict=True))
        ratio = statistics.median(slow / fast for slow, fast in rounds)
        print(f"| {cell} | {theirs:.1f} | {ours:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
