"""Precision and threads by a short measurement of the very work that a run will do, kept for this machine.

What a run has begun with stands in its resume state, and stays: nothing kept here changes a run that is resumed.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from cells.model import LanguageModel
from checkpoints.device import has_bf16, thread_choices
from checkpoints.token_cache import keep_note, kept_note, key

Trial = Callable[[], None]
ROUNDS = 3
"""Times that both precisions are tried, in turn, so that a busy machine is as busy for one as for the other."""

CLEARLY = 0.9
"""bfloat16, where the machine has it, unless float32 takes less than this share of its time."""

BUSY = 0.75
"""Processes that wait for each core, on average over a minute, from which on a count of threads is not kept."""


def work_of(model: LanguageModel, rows: int, steps: int) -> list[Any]:
    """What a measurement depends on, as JSON: cell, sizes, batch, this machine and this torch."""
    cell = [model.cell.label, model.cell.version, model.cell.options]
    machine = [platform.node(), platform.machine(), torch.backends.cpu.get_cpu_capability(), thread_choices()]
    return [cell, type(model).__name__, model.config.to_json(), rows, steps, str(torch.__version__), machine]


def measured_precision(device: torch.device, work: list[Any], trial: Callable[[torch.dtype | None], Trial]) -> str:
    """``bf16`` or ``fp32``: on a CPU that has both the faster one, as found now or earlier; else what there is."""
    if device.type != "cpu" or not has_bf16(device):
        return "bf16" if has_bf16(device) else "fp32"
    name = key("precision", work)
    kept = kept_note(name)
    if kept in ("bf16", "fp32"):
        return str(kept)
    times = _alternating({"bf16": trial(torch.bfloat16), "fp32": trial(None)})
    chosen = "fp32" if times["fp32"] < CLEARLY * times["bf16"] else "bf16"
    keep_note(name, chosen)
    return chosen


def _alternating(trials: dict[str, Trial]) -> dict[str, float]:
    """The median time of each trial on one thread, all of them in turn."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times: dict[str, list[float]] = {name: [] for name in trials}
        for number in range(ROUNDS + 1):
            for name, trial in trials.items():
                began = time.perf_counter()
                trial()
                if number:  # the first run packs weights
                    times[name].append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(found) for name, found in times.items()}


def kept_threads(work: list[Any], precision: str) -> str:
    """The number of threads found earlier for this work on this machine; nothing if none was, or it is busy now."""
    kept = None if busy() else kept_note(key("threads", work, precision))
    return str(kept) if isinstance(kept, int) and kept in thread_choices() else ""


def keep_threads(work: list[Any], precision: str, threads: int) -> None:
    """Keep a number of threads that was measured, unless the machine has other things to do just now."""
    if not busy():
        keep_note(key("threads", work, precision), threads)


def busy() -> bool:
    """Whether this machine has so much to do that what is measured now would not be true later, or if nobody knows."""
    load = getattr(os, "getloadavg", None)
    return load is None or load()[0] > BUSY * (os.cpu_count() or 1)
