"""How fast a cell's recurrent products run in training, against the built-in LSTM's. Prints a table.

Run it by name: ``python tests/benchmarks/recurrent_rate.py [--cells coupled-lstm,…] [--rounds N] [--bf16]``.

The rate is that of the recurrent arithmetic alone: 6 operations (a multiplication and an addition, forward and twice
backward) for each entry of the recurrent matrices, row and step, over the time of a whole training step (H=512,
batch 64, T=128) in this engine without fused kernels. A cell of fewer gates has less arithmetic over which to spread
the rest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from cells.cell import Cell, gate_names  # noqa: E402
from cells.memory import keep_freed_memory  # noqa: E402
from plugins.conformance.learning import tokens_per_second  # noqa: E402
from plugins.guard import QuietStep  # noqa: E402
from plugins.registry import load_plugins  # noqa: E402

HIDDEN, BATCH, LENGTH = 512, 64, 128


def operations(cell: Cell) -> int:
    """Recurrent operations a token, forward and backward."""
    gates = sum(len(gate_names(gates)) for gates in cell.recurrent.values())
    return 6 * gates * HIDDEN * HIDDEN


def main() -> None:
    """Measure each cell and the LSTM in turns and print the table."""
    registry = load_plugins()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", default="coupled-lstm,peephole-lstm,gru,cho-gru,mgu,ugrnn,janet,slstm,rnn")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    cells = [registry.create_cell(name) for name in ("lstm", *options.cells.split(","))]
    for cell in cells[1:]:  # as a stranger's cell runs: behind the fence
        cell.step = QuietStep(cell.step, f"cell {cell.label}", print)  # type: ignore[method-assign]
    rates = tokens_per_second(
        cells, HIDDEN, BATCH, LENGTH, options.rounds, dtype=torch.bfloat16 if options.bf16 else None
    )
    reference = rates[0] * operations(cells[0])
    print(f"threads {torch.get_num_threads()}, {'bfloat16' if options.bf16 else 'float32'}")
    print("| cell | tokens a second | recurrent GFLOP/s | of the LSTM's rate |")
    print("|---|---|---|---|")
    for cell, rate in zip(cells, rates, strict=True):
        flops = rate * operations(cell)
        print(f"| `{cell.label}` | {rate:,.0f} | {flops / 1e9:.1f} | {flops / reference:.2f} |")


if __name__ == "__main__":
    main()
