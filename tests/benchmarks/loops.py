"""Training steps of cells without a fused kernel, and of affine cells over long sequences. Prints two tables.

Run it by name: ``python tests/benchmarks/loops.py [--rounds N] [--threads N] [--batch B] [--only loops|affine]``.

The first: whole steps (forward, loss, clipping, Adam) of coupled-gate, peephole and scalar LSTM, H=512, T=128, against
a plain autograd loop over the very same ``step``: embedding, one input projection, a product a step, in float32. The
second: minGRU and minLSTM at T=1024 against the usual ``nn.LSTM`` model of ``training.py`` and against our LSTM. Ours
are in this machine's default precision. Turn by turn within each round; ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cells.bundle import GateBundle, named  # noqa: E402
from cells.cell import Cell, output_name  # noqa: E402
from cells.layer import Layer  # noqa: E402
from cells.memory import keep_freed_memory  # noqa: E402
from cells.model import LanguageModel, ModelConfig  # noqa: E402
from cells.state import LayerState, detach  # noqa: E402
from plugins.registry import load_plugins  # noqa: E402
from tests.benchmarks.training import VOCABULARY, Run, baseline_step, our_step, seconds  # noqa: E402

HIDDEN = 512


def plain_loop(layer: Layer, projected: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    """The recurrence as anyone would write it: a product and a step at a time, left to autograd."""

    def product(name: str, gates: tuple[str, ...]) -> object:
        return lambda rows: GateBundle(F.linear(rows, layer.R[name]).view(-1, len(gates), HIDDEN), gates)

    R = named({name: product(name, gates) for name, gates in layer.recurrent_gates.items()})
    p, outputs = named(dict(layer.p)), []
    for gates in projected.view(*projected.shape[:2], len(layer.gates), HIDDEN).unbind(0):
        state = layer.cell.step(GateBundle(gates, layer.gates), named(state), R, p)
        outputs.append(state[output_name(layer.cell)])
    return torch.stack(outputs), state


def plain_step(cell: Cell, tokens: Tensor) -> Run:
    """One training step around :func:`plain_loop`, in float32."""
    model = LanguageModel(cell, ModelConfig(VOCABULARY, HIDDEN), kernels=None)
    optimizer = torch.optim.Adam(model.parameters())
    layer = model.recurrent_layers[0]
    state = model.initial_state(tokens.shape[1])

    def run() -> None:
        nonlocal state
        y, after = plain_loop(layer, F.linear(model.embedding(tokens), layer.W, layer.b), state[0])
        loss = F.cross_entropy(model.readout(y).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = detach([after])

    return run


def compare(runs: list[Run], rounds: int, tokens: int) -> tuple[list[float], list[list[float]]]:
    """Thousands of tokens a second of each, and the seconds of each in each round."""
    for run in runs:
        run()
    times = [[seconds(run) for run in runs] for _ in range(rounds)]
    return [tokens / statistics.median(column) / 1e3 for column in zip(*times, strict=True)], times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--only", choices=("loops", "affine"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    registry = load_plugins()
    print(f"{options.threads} threads, H={HIDDEN}, B={options.batch}; thousands of tokens a second")
    if options.only != "affine":
        tokens = torch.randint(0, VOCABULARY, (128, options.batch))
        print("\n| cell | T | plain loop | ours | ratio |\n|---|---|---|---|---|")
        for name in ("coupled-lstm", "peephole-lstm", "slstm"):
            cell = registry.create_cell(name)
            runs = [plain_step(cell, tokens), our_step(cell, HIDDEN, tokens)]
            speeds, times = compare(runs, options.rounds, tokens.numel())
            ratio = statistics.median(slow / fast for slow, fast in times)
            print(f"| {name} | 128 | {speeds[0]:.1f} | {speeds[1]:.1f} | {ratio:.2f} |", flush=True)
    if options.only != "loops":
        tokens = torch.randint(0, VOCABULARY, (1024, options.batch))
        print("\n| cell | T | nn.LSTM | our LSTM | ours | to nn.LSTM | to our LSTM |\n|---|---|---|---|---|---|---|")
        for name in ("mingru", "minlstm"):
            lstm, cell = registry.create_cell("lstm"), registry.create_cell(name)
            runs = [baseline_step("LSTM", HIDDEN, tokens), our_step(lstm, HIDDEN, tokens)]
            speeds, times = compare([*runs, our_step(cell, HIDDEN, tokens)], options.rounds, tokens.numel())
            ratios = [statistics.median(one[place] / one[2] for one in times) for place in (0, 1)]
            numbers = " | ".join(f"{value:.1f}" for value in (*speeds, *ratios))
            print(f"| {name} | 1024 | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
