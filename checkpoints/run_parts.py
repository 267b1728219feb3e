"""What a training run is made of, beside the model and the options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints.batches import SequentialBatches
from checkpoints.parallel import Ranks
from checkpoints.progress import Reporter
from checkpoints.runlog import RunLog
from checkpoints.threads import ThreadWatch
from checkpoints.tokenizers import Tokenizer
from checkpoints.validation import CheckpointWriter, Validation

SINGLE = Ranks()


@dataclass(frozen=True)
class Machine:
    """How a run computes: the kind of device, the precision of the products, the number of threads, of processes.

    ``told`` says in words how that was chosen.
    """

    device: str
    precision: str
    threads: ThreadWatch
    ranks: int = 1
    told: str = ""

    @property
    def described(self) -> str:
        """Processes and threads, or the device, in words."""
        threads = self.threads.threads
        on = f"{threads} thread{'s' if threads != 1 else ''}" if self.device == "cpu" else self.device
        return f"{self.ranks} processes, {on} each" if self.ranks > 1 else on

    def to_json(self) -> dict[str, Any]:
        """What the resume state keeps of it."""
        return {
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads.threads,
            "ranks": self.ranks,
        }


@dataclass(frozen=True)
class Parts:
    """Data, files and display of a run; ``training_text`` if evaluations score that too, or instead."""

    batches: SequentialBatches
    validation: Validation | None
    tokenizer: Tokenizer
    writer: CheckpointWriter
    log: RunLog
    reporter: Reporter
    resume_file: Path
    machine: Machine
    fingerprint: str
    training_text: Validation | None = None
    ranks: Ranks = SINGLE
