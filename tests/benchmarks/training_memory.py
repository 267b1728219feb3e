"""Peak memory of training steps, ours against torch.nn's, each in a process of its own. Prints a table.

Run it by name: ``python tests/benchmarks/training_memory.py [--length T] [--hidden H] [--batch B] [--rounds N]``.

The steps are those of ``training.py``; ours keeps freed memory where the trainer does, the baseline does not. What a
process holds before its first step (interpreter, torch, weights) is not counted. Medians of the rounds; MiB.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

CELLS = ("RNN", "LSTM", "GRU")


def measure(arguments: argparse.Namespace) -> None:
    """In the child: print the MiB that two steps add to the peak, and the seconds of the second."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import time

    import torch
    from training import VOCABULARY, baseline_step, our_step

    from cells.gru import GRU
    from cells.lstm import LSTM
    from cells.memory import keep_freed_memory, worth_keeping
    from cells.rnn import RNN

    torch.set_num_threads(arguments.threads)
    tokens = torch.randint(0, VOCABULARY, (arguments.length, arguments.batch))
    if arguments.child == "ours":
        if worth_keeping(arguments.length, arguments.batch, arguments.hidden):
            keep_freed_memory()
        cell = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[arguments.cell]()
        run = our_step(cell, arguments.hidden, tokens)
    else:
        run = baseline_step(arguments.cell, arguments.hidden, tokens)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    began = time.process_time()
    run()
    took = time.process_time() - began
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--child", choices=("ours", "baseline"))
    parser.add_argument("--cell", choices=CELLS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments)
        return
    print(f"H={arguments.hidden}, T={arguments.length}, batch {arguments.batch}; MiB, and seconds of work a step")
    print("| cell | baseline | ours | share | baseline, s | ours, s |\n|---|---|---|---|---|---|")
    for cell in [arguments.cell] if arguments.cell else CELLS:
        figures: dict[str, list[tuple[float, float]]] = {"baseline": [], "ours": []}
        for _ in range(arguments.rounds):
            for side, found in figures.items():
                command = [sys.executable, __file__, *sys.argv[1:], "--child", side, "--cell", cell]
                memory, took = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
                found.append((memory, took))
        theirs, ours = ([statistics.median(column) for column in zip(*figures[side], strict=True)] for side in figures)
        shown = f"{theirs[0]:,.0f} | {ours[0]:,.0f} | {ours[0] / theirs[0]:.2f} | {theirs[1]:.1f} | {ours[1]:.1f}"
        print(f"| {cell} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
