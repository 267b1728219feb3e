"""How fast a cell trains here: the figures with which ``checkpoints.auto_recipe`` tells what a budget of time holds."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from cells.cell import Cell, gate_names
from cells.layer import KernelFinder
from cells.model import LanguageModel, ModelConfig
from checkpoints.auto_recipe import BATCH, Facts, Speed, choose, multiplied, needs_speed, recipe_file_text
from checkpoints.device import choose_precision
from checkpoints.files import make_folder, write_atomic
from checkpoints.machine import choose_machine
from checkpoints.measured import busy, work_of
from checkpoints.options import TrainOptions
from checkpoints.parallel import Ranks
from checkpoints.token_cache import keep_note, kept_note, key
from checkpoints.trial import gradient_trial, trial_loss

if TYPE_CHECKING:
    from checkpoints.session import CellRun

SMALL, LARGE = 128, 512
"""Hidden sizes that are measured; what lies between and beyond follows from their multiply-adds."""

EMBEDDING, STEPS, ROUNDS = 64, 64, 5


def facts_of(cell: Cell, tokens: int, vocabulary: int) -> Facts:
    """What the choice of sizes rests on, for a cell and a text, but for the speed."""
    recurrent = sum(len(gate_names(gates)) for gates in cell.recurrent.values())
    return Facts(tokens, vocabulary, len(gate_names(cell.input)), recurrent)


def auto_values(
    run: CellRun,
    facts: Facts,
    device: torch.device,
    kernels: KernelFinder | None,
    processes: int,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """The option values that ``--recipe auto`` chooses for a run; told in one line, and kept as a recipe file."""
    if needs_speed(run.given):
        with torch.random.fork_rng(enabled=True):
            speed = measured_speed(run.options, run.cell, facts.vocabulary, device, kernels, processes)
        facts = dataclasses.replace(facts, speed=speed)
    chosen = choose(facts, run.given)
    note(f"auto recipe for {run.name}: {chosen.told}")
    make_folder(run.folder)
    text = recipe_file_text({**run.given, **chosen.values}, f"--recipe auto for {run.name}: {chosen.told}")
    write_atomic(run.folder / "recipe.toml", text.encode())
    return chosen.values


def measured_speed(
    options: TrainOptions,
    cell: Cell,
    vocabulary: int,
    device: torch.device,
    kernels: KernelFinder | None,
    processes: int = 1,
) -> Speed:
    """The speed at which so many processes train a cell on this machine, as found now or earlier.

    Takes some seconds the first time. Precision and threads are those that a run with these options would take.
    """
    facts = facts_of(cell, 0, vocabulary)
    times = [_seconds(options, cell, vocabulary, size, device, kernels) / processes for size in (SMALL, LARGE)]
    products = [multiplied(facts, 1, size) for size in (SMALL, LARGE)]
    return line_through(products, times)


def line_through(products: list[int], times: list[float]) -> Speed:
    """Seconds a token at two numbers of multiply-adds, as a rate and what comes on top of it, neither negative."""
    each = max(0.0, (times[1] - times[0]) / (products[1] - products[0]))
    base = max(0.0, times[0] - each * products[0])
    return Speed(base, each if base else times[1] / products[1])


def _seconds(
    options: TrainOptions,
    cell: Cell,
    vocabulary: int,
    hidden: int,
    device: torch.device,
    kernels: KernelFinder | None,
) -> float:
    """Seconds for a token of a model with one layer."""
    model = LanguageModel(cell, ModelConfig(vocabulary, hidden, embedding_size=EMBEDDING), kernels=kernels)
    model = model.to(device).train()
    work = work_of(model, BATCH, STEPS)

    def trial(dtype: torch.dtype | None) -> Callable[[], None]:
        return gradient_trial(model, dtype, lambda: trial_loss(model, BATCH, STEPS))

    machine = choose_machine(options, None, device, Ranks(), work, trial)
    name = key("speed", work, device.type, machine.precision, machine.threads.threads)
    kept = kept_note(name)
    if isinstance(kept, float) and kept > 0:
        return kept
    found = _median(trial(choose_precision(machine.precision, device)), device) / (BATCH * STEPS)
    if not busy():
        keep_note(name, found)
    return found


def _median(trial: Callable[[], None], device: torch.device) -> float:
    """Seconds of a trial; the first run, which packs weights, does not count."""
    times = []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        trial()
        _wait(device)
        if number:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    module: Any = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    if module is not None:
        module.synchronize()
