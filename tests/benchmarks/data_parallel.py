"""Training tokens a second: several processes under torchrun against one process with as many threads. Prints a table.

Run it by name: ``python tests/benchmarks/data_parallel.py [--rounds N] [--processes N] [--cells lstm,gru]``.

Both train the same model on the same global batch with the program itself (``celloquy train`` and ``torchrun
--nproc-per-node N --module celloquy train``), taking turns within each round. The speed is read from the run's log,
between its third line and its last, exchange of gradients and everything else included; the ratio is the median of the
rounds' ratios. The losses that the two reach stand beside them: they are those of the same run. One process with one
thread on the same batch says what the processes could reach: so many times its speed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALPHABET = (string.digits + string.ascii_letters + string.punctuation + " ")[:95]
SKIPPED = 3
"""Lines of the log, ten steps each, in which a run warms up."""


def speed(folder: Path, arguments: list[str], processes: int, threads: int) -> tuple[float, float]:
    """Tokens a second and the last training loss of one run."""
    start = [sys.executable, "-m", "celloquy"]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        start += ["--module", "celloquy"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    command = [*start, "train", "corpus.txt", *arguments, "--threads", str(threads)]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    (log,) = folder.glob("checkpoints/*.run/log.jsonl")
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    lines = [event for event in events if event["event"] == "train"]
    first, last = lines[SKIPPED - 1], lines[-1]
    return (last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"]), last["loss"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cells", default="rnn,lstm,gru")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    sizes = ["--hidden", str(given.hidden), "--batch", str(given.batch), "--bptt", str(given.length)]
    sizes += ["--steps", str(given.steps), "--val", "0", "--precision", given.precision, "--schedule", "constant"]
    chance = random.Random(1)
    text = "".join(chance.choice(ALPHABET) for _ in range(1_000_000))
    print(f"H={given.hidden}, batch {given.batch}, T={given.length}, {len(ALPHABET) + 1} tokens, {given.precision}")
    many = given.processes
    runs = ((1, many), (many, 1), (1, 1))  # processes, and threads of each
    print(f"| cell | 1 process, {many} threads | {many} processes | 1 thread | ratio | of {many} x 1 thread | losses |")
    print("|---|---|---|---|---|---|---|")
    for cell in given.cells.split(","):
        rounds = []
        for _ in range(given.rounds):
            found = []
            for processes, threads in runs:
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    (folder / "corpus.txt").write_text(text, encoding="utf-8")
                    arguments = ["--name", "measured", "--cell", cell, *sizes]
                    found.append(speed(folder, arguments, processes, threads))
            rounds.append(found)
        speeds = " | ".join(f"{statistics.median(found[place][0] for found in rounds):,.0f}" for place in range(3))
        ratio = statistics.median(found[1][0] / found[0][0] for found in rounds)
        share = statistics.median(found[1][0] / found[2][0] / many for found in rounds)
        losses = " and ".join(f"{loss:.4f}" for _, loss in rounds[-1][:2])
        print(f"| {cell} | {speeds} | {ratio:.2f} | {share:.2f} | {losses} |", flush=True)


if __name__ == "__main__":
    main()
