"""What labels a text has: a trained classifier, as programs use it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from cells.classifier import ClassifierConfig, TextClassifier
from cells.errors import CelloquyError
from checkpoints.finding import find
from checkpoints.header import CLASSIFY, Header, read_header
from checkpoints.labels.batches import EncodedTexts, encoded
from checkpoints.labels.corpus import LabelledCorpus
from checkpoints.labels.figures import Probabilities, figures
from checkpoints.labels.reading import probabilities
from checkpoints.loading import load_checkpoint, load_model
from checkpoints.tokenizers import Tokenizer

if TYPE_CHECKING:
    import torch

    from plugins.registry import Registry

TEXTS_AT_ONCE = 256
"""Texts of a stream that are read together: memory stays the same for any number."""

JUDGED_AT_ONCE = 4096
"""Texts of a corpus that are read together, so that those of like length stand side by side."""

TRAINED = "a trained classifier"
BAYES = "Bayes' rule on log p(text | label), with the shares of the labels in the training text as priors"
"""How labels are told: what ``Classifier.method`` may say."""


class Classifier:
    """A trained classifier: :meth:`classify` gives every label's probability for a text.

    ``labels`` are in the model's order, ``method`` says in words how the probabilities come about.
    """

    method = TRAINED

    def __init__(self, path: Path, header: Header, tokenizer: Tokenizer, model: TextClassifier) -> None:
        self.path = path
        self.header = header
        self.tokenizer = tokenizer
        self.model = model
        longest = header.recipe.get("max_tokens", 0)
        self._longest = longest if isinstance(longest, int) and not isinstance(longest, bool) and longest > 0 else 0

    @property
    def name(self) -> str:
        """``family.cell``, as the file is named."""
        return self.path.name.removesuffix(".safetensors")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels there are."""
        return self.header.label_names

    def classify(self, text: str) -> dict[str, float]:
        """Label -> probability for a text, the likeliest first; they sum to 1."""
        return next(self.classify_all([text]))

    def classify_all(self, texts: Iterable[str]) -> Iterator[dict[str, float]]:
        """:meth:`classify` of many texts, in order, some hundreds at a time; a text's numbers depend on it alone."""
        several = iter(texts)
        while some := list(itertools.islice(several, TEXTS_AT_ONCE)):
            for row in self.probabilities(some):
                order = sorted(range(len(self.labels)), key=lambda number: -row[number])
                yield {self.labels[number]: float(row[number]) for number in order}

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """p(label | text) [N, C], the labels in the model's order."""
        return probabilities(self.model, EncodedTexts(encoded(self.tokenizer, text, self._longest) for text in texts))

    def evaluate(self, corpus: LabelledCorpus) -> dict[str, Any]:
        """The figures of ``checkpoints.labels.figures`` on labelled text whose labels are the model's, in its order."""
        if corpus.names != self.labels:
            raise CelloquyError("the labels of the text are not the model's; read it with known=classifier.labels")
        parts = (corpus.texts[at : at + JUDGED_AT_ONCE] for at in range(0, len(corpus), JUDGED_AT_ONCE))
        rows = [self.probabilities(part) for part in parts]
        return figures(numpy.concatenate(rows) if rows else numpy.zeros((0, 2)), corpus.labels, corpus.names)


def load_classifier(
    name: str | Path, cell: str | None = None, registry: Registry | None = None, device: str | torch.device = "cpu"
) -> Classifier:
    """Load a classifier by name or path; a model that labels steer becomes one by Bayes' rule.

    Raises CelloquyError as ``load_checkpoint`` does, and for a model that knows no labels.
    """
    path = find(str(name), cell)
    header = read_header(path)
    if header.task != CLASSIFY and header.labels:
        from checkpoints.labels.bayes import BayesClassifier

        return BayesClassifier(load_checkpoint(path, registry=registry, device=device))
    if header.task != CLASSIFY:
        makes = "celloquy train --task classify makes a classifier"
        raise CelloquyError(f"{path}: it writes and knows no labels; {makes}")
    tokenizer, model = load_model(path, header, ClassifierConfig.from_json, TextClassifier, registry, device)
    return Classifier(path, header, tokenizer, model)
