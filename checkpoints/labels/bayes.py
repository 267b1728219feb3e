"""A model that labels steer, turned round: p(label | text) by Bayes' rule on log p(text | label)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch.nn import functional as F

from cells.labels import with_label
from cells.model import LanguageModel
from checkpoints.labels.classifier import BAYES, Classifier
from checkpoints.labels.figures import Probabilities
from checkpoints.labels.steering import END, one_line
from checkpoints.loading import Loaded

NUMBERS_AT_ONCE = 1 << 23
"""Logits that are made at once: bounds the memory that many and long texts take."""

ROWS_AT_ONCE = 64
IGNORED = -100


class BayesClassifier(Classifier):
    """Tells labels with a model that writes: p(label | text) is in proportion to p(text | label) p(label).

    Each text is read once for each label, from the end of another text on and with its own end; the priors are the
    labels' shares of the texts that were learned from. Characters that the model does not know are not counted.
    """

    method = BAYES

    def __init__(self, loaded: Loaded) -> None:
        self.path, self.header, self.tokenizer = loaded.path, loaded.header, loaded.tokenizer
        self.loaded = loaded
        counts = numpy.array(loaded.header.labels["counts"], dtype=numpy.float64)
        self._log_priors = numpy.log(numpy.maximum(counts, 1e-9) / counts.sum())

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """p(label | text) [N, C], the labels in the model's order."""
        scores = self.log_likelihoods(texts) + self._log_priors
        scores -= scores.max(1, keepdims=True)
        shares: Probabilities = numpy.exp(scores)
        shares /= shares.sum(1, keepdims=True)
        return shares

    def log_likelihoods(self, texts: Sequence[str]) -> Probabilities:
        """log p(text | label) [N, C] in nats."""
        encoded = [self.tokenizer.encode(one_line(text)) for text in texts]
        found = numpy.zeros((len(texts), len(self.labels)))
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place]))
        for start in range(0, len(order), ROWS_AT_ONCE):
            places = order[start : start + ROWS_AT_ONCE]
            found[places] = self._read([encoded[place] for place in places])
        return found

    @torch.no_grad()
    def _read(self, texts: Sequence[Sequence[int]]) -> Probabilities:
        """log p of sequences of tokens under each label, [N, C]."""
        model: LanguageModel = self.loaded.model
        device = model.readout.bias.device
        begin = (self.tokenizer.encode(END) or [0])[-1]
        longest = max(map(len, texts))
        inputs = torch.full((longest, len(texts)), begin)
        targets = torch.full((longest, len(texts)), IGNORED)
        for row, tokens in enumerate(texts):
            inputs[1 : len(tokens), row] = torch.tensor(tokens[:-1])
            targets[: len(tokens), row] = torch.tensor(tokens)
        if self.tokenizer.unknown_id is not None:
            targets[targets == self.tokenizer.unknown_id] = IGNORED
        inputs, targets = inputs.to(device), targets.to(device)
        steps = max(1, NUMBERS_AT_ONCE // (len(texts) * model.config.vocabulary_size))
        columns = []
        for label in range(len(self.labels)):
            weights = F.one_hot(torch.tensor(label), len(self.labels)).to(model.readout.bias)
            state = with_label(model.initial_state(len(texts)), weights)
            total = torch.zeros(len(texts), dtype=torch.float64, device=device)
            for start in range(0, longest, steps):
                logits, state = model(inputs[start : start + steps], state)
                wanted = targets[start : start + steps]
                losses = F.cross_entropy(
                    logits.double().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
                )
                total -= losses.view(wanted.shape).sum(0)
            columns.append(total.cpu().numpy())
        return numpy.stack(columns, 1)
