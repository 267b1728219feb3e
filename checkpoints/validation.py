"""Validation in a run, and the checkpoint that holds the best one."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cells.model import LanguageModel
from checkpoints.batches import Tokens
from checkpoints.evaluate import bits_per_character, perplexity, score_tokens
from checkpoints.files import file_errors, keep_as, save_safetensors
from checkpoints.header import Header
from checkpoints.loading import stored_tensors

NOT_VALIDATED = {"val_loss": None, "val_perplexity": None, "val_bits_per_character": None}
"""What a checkpoint says of its validation if there was none."""

STORED = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Validation:
    """A text that evaluations score: its tokens [N], the number of its characters, and which part of the corpus it is:
    ``val`` or ``train_text``."""

    tokens: Tokens
    characters: int
    part: str = "val"

    def figures(self, model: LanguageModel, store: torch.dtype) -> dict[str, float]:
        """val_loss (nats a token), val_perplexity and val_bits_per_character of the weights as they will be stored.

        Those of the training text are train_text_loss, and so on.
        """
        with rounded(model, store):
            loss = score_tokens(model, self.tokens).mean
        return {
            f"{self.part}_loss": loss,
            f"{self.part}_perplexity": perplexity(loss),
            f"{self.part}_bits_per_character": bits_per_character(loss, len(self.tokens), self.characters),
        }


@contextlib.contextmanager
@torch.no_grad()
def rounded(model: LanguageModel, store: torch.dtype) -> Iterator[None]:
    """While entered, the parameters have the values that ``store`` can hold."""
    if store == torch.float32:
        yield
        return
    kept = [parameter.clone() for parameter in model.parameters()]
    try:
        for parameter in model.parameters():
            parameter.copy_(parameter.to(store))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), kept, strict=True):
                parameter.copy_(value)


class CheckpointWriter:
    """Writes the checkpoint of one run to ``path``; what an earlier run left there is kept as ``aside``."""

    def __init__(self, path: Path, aside: Path, header: Header, store: str) -> None:
        self.path = path
        self.aside = aside
        self.header = header
        self.store = STORED[store]

    def keep_earlier(self) -> bool:
        """Before a new run: keep what an earlier one left under this name; whether there was something."""
        if not self.path.exists():
            return False
        if not keep_as(self.path, self.aside):  # a file system without links
            with file_errors(self.aside, "written"):
                self.aside.unlink(missing_ok=True)
                shutil.copy2(self.path, self.aside)
        return True

    def save(self, model: LanguageModel, figures: dict[str, Any]) -> None:
        """Write the present weights with these figures, atomically."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        header = replace(self.header, figures=figures, created=now)
        tensors = {name: tensor.to(self.store) for name, tensor in stored_tensors(model).items()}
        save_safetensors(self.path, tensors, header.dumps())
