"""How long a person waits: each command's time over that of the interpreter, or of importing torch. Prints a table.

Run it by name: ``python tests/benchmarks/startup.py [--rounds N]``.

``--help`` and ``list`` are measured over a bare interpreter; the first character of ``generate`` (written and read from
its pipe) over ``python -c "import torch"``. Python keeps its compiled modules, as for an installed package. Each round
starts every process once, turn by turn; medians of the rounds' differences, in seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
COMMANDS = {
    "bare": [PYTHON, "-c", "pass"],
    "torch": [PYTHON, "-c", "import torch; print(1)"],
    "--help": [PYTHON, "-m", "celloquy", "--help"],
    "list": [PYTHON, "-m", "celloquy", "list"],
    "generate": [PYTHON, "-m", "celloquy", "generate", "-p", "ROMEO:", "--no-echo", "-n", "1", "--seed", "1"],
}
OVER = {"--help": ("bare", 0.15, 0.10), "list": ("bare", 0.20, 0.10), "generate": ("torch", 0.35, 0.15)}
"""Command -> what it is measured over, the seconds it must keep to, the aim."""


def first_byte(command: list[str], bytecode: str) -> float:
    """Seconds until a command writes its first byte, or ends without one; compiled modules lie in ``bytecode``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        run.stdout.read(1)
        seconds = time.perf_counter() - start
        run.stdout.read()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS.values():
            first_byte(command, folder)
        times = [{name: first_byte(command, folder) for name, command in COMMANDS.items()} for _ in range(rounds)]
    print("| what | seconds | over | must | aim | measured |\n|---|---|---|---|---|---|")
    for name, (base, must, aim) in OVER.items():
        seconds = statistics.median(one[name] for one in times)
        more = statistics.median(one[name] - one[base] for one in times)
        print(f"| {name} | {seconds:.2f} | {base} | +{must:.2f} | +{aim:.2f} | {more:+.2f} |")


if __name__ == "__main__":
    main()
