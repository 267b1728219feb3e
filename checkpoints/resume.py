"""The resume state of a run: one safetensors file with a JSON description, written atomically. No pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from cells.errors import CelloquyError
from checkpoints.digest import description
from checkpoints.files import file_errors, keep_as, load_tensors, save_safetensors
from checkpoints.strict_json import parse_json
from checkpoints.tensor_table import check_layout, read_table

RESUME_FORMAT = 2
FILE = "resume.safetensors"
BEFORE = "resume-before.safetensors"
"""The state saved before the last one: for when the last one turns out to be damaged, or already bad."""


@dataclass
class RunState:
    """Where a run is. Floats survive JSON exactly, so that a resumed run goes on bit by bit.

    ``step`` steps are done and each row of the batch has read ``read`` tokens, in ``seconds`` of training and
    validation. ``lowest_loss`` is that of the best line of the log; ``loss_sum`` over ``loss_count`` steps is what its
    next line will average. ``stale`` counts validations since the best one; ``rate_scale`` is what the plateau schedule
    and going back have made of the learning rate, and ``lowered`` how often the run went back because it had diverged;
    ``log_bytes`` the length of the log.
    """

    step: int = 0
    read: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0
    rate_scale: float = 1.0
    train_loss: float | None = None
    lowest_loss: float | None = None
    lowered: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    last_eval: int = 0
    last_eval_at: float = 0.0
    eval_seconds: float = 0.0
    log_bytes: int = 0
    finished: bool = False


@dataclass
class Resume:
    """What a resume file holds. ``options`` are the training options; ``machine`` is the choice of threads and
    precision, kept because other sums would be rounded otherwise. Tensors: ``model.*``, ``optimizer.*``, ``state.*``,
    ``random.*`` (of every process), and ``ema.*`` where weights are averaged."""

    run: RunState
    options: dict[str, Any]
    machine: dict[str, Any]
    fingerprint: str
    tokenizer: dict[str, Any]
    model: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it."""
        start = prefix + "."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_resume(path: Path, resume: Resume, keep_before: bool = True) -> None:
    """Write a resume state in place of the last one, which is kept as the one before."""
    described = {
        "format": RESUME_FORMAT,
        "run": vars(resume.run),
        "options": resume.options,
        "machine": resume.machine,
        "fingerprint": resume.fingerprint,
        "tokenizer": resume.tokenizer,
        "model": resume.model,
    }
    text = json.dumps(described, ensure_ascii=False, sort_keys=True, allow_nan=False)
    if keep_before and path.exists():
        keep_as(path, path.with_name(BEFORE))
    save_safetensors(path, resume.tensors, text)


def latest_resume(folder: Path, note: Callable[[str], None]) -> Resume | None:
    """The last state that was saved in a run's folder; None if none was.

    If it is damaged, the one before it, with a note. CelloquyError if both are.
    """
    if not (folder / FILE).exists():
        return None
    try:
        return load_resume(folder / FILE)
    except CelloquyError as error:
        try:
            before = load_resume(folder / BEFORE)
        except CelloquyError:
            raise error from None
        note(f"warning: {error}; going on from the state saved before it, at step {before.run.step}")
        return before


def last_good(path: Path, step: int) -> Resume:
    """The state saved last, or if that was after ``step``, the one before it."""
    last, before = load_resume(path), path.with_name(BEFORE)
    return last if last.run.step <= step or not before.exists() else load_resume(before)


def begun_options(folder: Path) -> dict[str, Any]:
    """The options with which the run in a folder began; none if there is no run, or if its file is not understood."""
    try:
        options = parse_json(description(read_table(folder / FILE)))["options"]
    except (OSError, CelloquyError, KeyError, TypeError):
        return {}
    return options if isinstance(options, dict) else {}


def load_resume(path: Path) -> Resume:
    """Read a resume state; CelloquyError if it is missing or damaged."""
    with file_errors(path, "read"):
        table = read_table(path)
    try:
        check_layout(table)
        data = parse_json(description(table))
    except CelloquyError as error:
        raise CelloquyError(f"{path} is damaged: {error}") from error
    keys = {"format", "run", "options", "machine", "fingerprint", "tokenizer", "model"}
    if not isinstance(data, dict) or data.keys() != keys or data["format"] != RESUME_FORMAT:
        raise CelloquyError(f"{path} is not a resume state of this version; start anew without --resume")
    for key, kind in (("options", dict), ("machine", dict), ("tokenizer", dict), ("model", dict), ("fingerprint", str)):
        if not isinstance(data[key], kind):
            raise CelloquyError(f"{path} is damaged: {key!r} is not understood")
    return Resume(
        _run_state(data["run"], path),
        data["options"],
        data["machine"],
        data["fingerprint"],
        data["tokenizer"],
        data["model"],
        load_tensors(path),
    )


def _run_state(data: Any, path: Path) -> RunState:
    """Where the run was; every number of the kind it should be."""
    fresh = vars(RunState())
    if not isinstance(data, Mapping) or data.keys() != fresh.keys():
        raise CelloquyError(f"{path} is damaged: it does not say where the run was")
    for key, value in data.items():
        kind = (float, type(None)) if fresh[key] is None else type(fresh[key])
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise CelloquyError(f"{path} is damaged: {key} cannot be {value!r}")
        if isinstance(value, int) and not 0 <= value < 1 << 53:
            raise CelloquyError(f"{path} is damaged: {key} cannot be {value!r}")
    if not (0 <= data["rate_scale"] <= 1 and min(data["seconds"], data["eval_seconds"]) >= 0):
        raise CelloquyError(f"{path} is damaged: it does not say where the run was")
    return RunState(**data)
