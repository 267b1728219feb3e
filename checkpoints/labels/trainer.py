"""Training a classifier: the trainer's loop, with whole texts for batches and the label's surprise for a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.classifier import PADDING, TextClassifier
from cells.model import LanguageModel
from cells.state import State
from checkpoints.batches import Tokens
from checkpoints.labels.batches import EncodedTexts
from checkpoints.labels.figures import figures
from checkpoints.labels.reading import probabilities
from checkpoints.options import TrainOptions
from checkpoints.run_parts import Parts
from checkpoints.schedule import Budget
from checkpoints.trainer import Trainer
from checkpoints.validation import rounded


@dataclass(frozen=True)
class LabelValidation:
    """The validation part of labelled text, to judge a classifier by."""

    texts: EncodedTexts
    labels: Sequence[int]
    names: Sequence[str]
    part: str = "val"

    @property
    def tokens(self) -> Tokens:
        """All tokens of the texts: what a validation costs."""
        return self.texts.tokens

    def figures(self, model: LanguageModel, store: torch.dtype) -> dict[str, Any]:
        """What ``checkpoints.labels.figures`` gives, each under ``val_``, of the weights as they will be stored."""
        with rounded(model, store):
            given = probabilities(cast(TextClassifier, model), self.texts)
        return {f"{self.part}_{key}": value for key, value in figures(given, self.labels, self.names).items()}


class ClassifierTrainer(Trainer):
    """Trains a classifier. Stopping, resuming, saving and what to do when the loss explodes are the trainer's."""

    def __init__(self, model: TextClassifier, options: TrainOptions, budget: Budget, parts: Parts) -> None:
        super().__init__(cast(LanguageModel, model), options, budget, parts)
        self.classifier = model

    def _losses(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, State]:
        """The mean loss in nats a text; texts stand alone, so there is no state to carry."""
        with self.regularisation.masked(self.model):
            logits = self.classifier(inputs)
        return F.cross_entropy(logits.float(), targets), None, []

    @property
    def _choices(self) -> int:
        """A classifier chooses among labels."""
        return self.classifier.config.classes

    def _sample(self) -> None:
        """A classifier writes nothing."""


def trial_loss(model: TextClassifier, batch: int, steps: int) -> Tensor:
    """The loss of one small batch [steps, batch]: to measure threads and precision."""
    device = model.readout.bias.device
    tokens = torch.zeros(steps, batch, dtype=torch.int64, device=device)
    tokens[-1, 1:] = PADDING
    return F.cross_entropy(model(tokens).float(), torch.zeros(batch, dtype=torch.int64, device=device))
