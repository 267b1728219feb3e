"""How a run computes: as asked, as it began, as measured earlier, or as measured now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from checkpoints.device import choose_precision
from checkpoints.measured import Trial, keep_threads, kept_threads, measured_precision
from checkpoints.options import TrainOptions
from checkpoints.parallel import Ranks
from checkpoints.resume import Resume
from checkpoints.run_parts import Machine
from checkpoints.threads import ThreadWatch


def choose_machine(
    options: TrainOptions,
    resume: Resume | None,
    device: torch.device,
    ranks: Ranks,
    work: list[Any],
    trial: Callable[[torch.dtype | None], Trial],
) -> Machine:
    """Precision and threads for a run on ``device``. A resumed run keeps its own, unless asked otherwise now.

    ``work`` is what a measurement depends on, and ``trial`` gives a small piece of it in a precision.
    """
    began = {} if resume is None or resume.machine.get("device") != device.type else _kept(resume, options)
    precision = began.get("precision", options.precision)
    if precision == "auto":
        precision = ranks.from_first(lambda: measured_precision(device, work, trial))
    earlier = kept_threads(work, precision) if options.threads == "auto" and "threads" not in began else ""
    begin = began.get("threads", earlier)
    threads = ThreadWatch(options.threads, device, trial(choose_precision(precision, device)), begin)
    if options.threads == "auto" and not begin:
        keep_threads(work, precision, threads.threads)
    if ranks.count > 1:
        threads.hold(ranks.from_first(lambda: threads.threads))
    why = _said(options.precision, "the faster one here", "precision" in began)
    how = _said(options.threads, "measured earlier" if earlier else "measured now", "threads" in began)
    count = f"{threads.threads} thread{'s' if threads.threads != 1 else ''}"
    told = f"computing on {device.type}: {precision} ({why}), {count} ({how})"
    return Machine(device.type, precision, threads, ranks.count, told)


def _kept(resume: Resume, options: TrainOptions) -> dict[str, str]:
    """What a resumed run has begun with, of what is asked for now as it was then."""
    same = (key for key in ("precision", "threads") if resume.options.get(key) == getattr(options, key))
    return {key: str(resume.machine[key]) for key in same if key in resume.machine}


def _said(asked: str, measured: str, kept: bool) -> str:
    return "as asked" if asked != "auto" else "as the run began" if kept else measured
