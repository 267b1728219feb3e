"""Reading many texts with a classifier's model: batched by length, probabilities in the texts' order."""

from __future__ import annotations

import numpy
import torch

from cells.classifier import TextClassifier
from checkpoints.labels.batches import EncodedTexts
from checkpoints.labels.figures import Probabilities
from checkpoints.rows import exact

TOKENS_AT_ONCE = 1 << 16
"""Tokens of a batch, padding included: bounds the memory that long texts take."""

ROWS_AT_ONCE = 256


@torch.no_grad()
def probabilities(model: TextClassifier, texts: EncodedTexts) -> Probabilities:
    """p(label | text) [N, C] of every text, in evaluation mode and float32; the model's own mode is restored."""
    device = model.readout.bias.device
    found = numpy.zeros((len(texts), model.config.classes))
    longest = int(texts.lengths.max(initial=1))
    with exact(model):
        for places in texts.by_length(max(1, min(ROWS_AT_ONCE, TOKENS_AT_ONCE // longest))):
            logits = model(texts.padded(places).to(device))
            found[places] = logits.double().softmax(1).cpu().numpy()
    return found
