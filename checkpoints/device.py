"""Where and how to compute: device, precision of the products, number of threads."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch

from cells.errors import CelloquyError, UsageError
from checkpoints.launch import here

MEASURING = 1.0
"""Seconds that measuring the threads may take, about."""


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is CUDA, then MPS, then the CPU. UsageError if there is none such."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device must be auto, cpu, cuda or mps, not {name!r}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device must be auto, cpu, cuda or mps, not {name!r}")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device.type]:
        raise CelloquyError(f"device {name} is not there: this machine or this torch has none; take --device auto")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """What ``LanguageModel.compute_dtype`` should be; None is float32. ``auto`` is bf16 where hardware has it."""
    if name == "fp32":
        return None
    if name == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if has_bf16(device) else None


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware (a CPU with AVX512_BF16 or AMX)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    capability = getattr(torch.cpu, "get_capabilities", None)
    if capability is not None:
        found = capability()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


def thread_choices() -> list[int]:
    """What ``auto`` measures: one thread and all that this process may use (``OMP_NUM_THREADS`` is obeyed).

    The processes that torchrun starts on a machine share its cores.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return sorted({1, max(1, min(cores // here(), torch.get_num_threads()))})


def choose_threads(text: str, device: torch.device, trial: Callable[[], None]) -> int:
    """The number of threads: as given, or for ``auto`` the one with which ``trial`` runs fastest.

    Never the default: on a busy two-core machine two threads were 25 times slower than one. A tie goes to fewer.
    Raises UsageError for anything that is neither ``auto`` nor a number from 1.
    """
    if text != "auto":
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 4096:
            raise UsageError(f"threads must be auto or a whole number from 1 to 4096, not {text!r}")
        return int(text)
    choices = thread_choices()
    if device.type != "cpu" or len(choices) == 1:
        return choices[-1]
    before = torch.get_num_threads()
    try:
        times = {threads: _median_time(trial, threads, MEASURING / len(choices)) for threads in choices}
    finally:
        torch.set_num_threads(before)
    fastest = min(times.values())
    return next(threads for threads in choices if times[threads] <= 1.05 * fastest)


def _median_time(trial: Callable[[], None], threads: int, seconds: float) -> float:
    torch.set_num_threads(threads)
    trial()  # the first run packs weights and starts threads
    times: list[float] = []
    started = time.perf_counter()
    while not times or (len(times) < 5 and time.perf_counter() - started < seconds):
        begin = time.perf_counter()
        trial()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
