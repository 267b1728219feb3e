"""Where a run of one cell puts what it makes."""

from __future__ import annotations

from pathlib import Path

from checkpoints.lock import RunLock
from checkpoints.options import TrainOptions


def places(options: TrainOptions) -> tuple[Path, Path]:
    """The checkpoint's file, and the run's folder with its log and its resume state."""
    name = f"{options.name}.{options.cell}"
    return Path(options.out) / f"{name}.safetensors", Path(options.out) / f"{name}.run"


def run_lock(options: TrainOptions) -> RunLock:
    """The lock of the run's folder."""
    path, folder = places(options)
    return RunLock(folder, f"{options.name}.{options.cell}", path)
