"""Training a model that labels steer: every text of the corpus brings its label to each of its tokens."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy
from numpy.typing import NDArray

from cells.model import LanguageModel, ModelConfig
from checkpoints.batches import Tokens
from checkpoints.encoded import Text
from checkpoints.header import Header
from checkpoints.labels.sessions import LabelledSession
from checkpoints.options import TrainOptions
from checkpoints.session import CellRun
from checkpoints.tokenizers import Tokenizer

END = "\n"
"""What ends a text; within a text every run of white space with a line break in it reads as one space."""


def one_line(text: str) -> str:
    """A text as a model that labels steer reads and writes it: on one line, ended by END."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line) + END


class SteeringSession(LabelledSession):
    """Trains models whose input is the token's embedding joined with the label's vector."""

    def _sizes(self, options: TrainOptions, vocabulary_size: int, unknown_id: int | None) -> ModelConfig:
        labels = 2 if self._labelled is None else len(self._labelled.names)
        sizes = super()._sizes(options, vocabulary_size, unknown_id)
        return dataclasses.replace(sizes, labels=labels, label_size=options.label_size)

    def _text(self, run: CellRun) -> Text:
        """Both parts as tokens with their labels, the texts of each part in random order, the same for every cell."""
        options = run.options
        split = self.split(options.val)
        tokenizer = self._tokenizer(run)
        key = f"{options.val} {options.seed} {options.label_dropout} {tokenizer.to_json()}"
        if key not in self._texts:
            draw = numpy.random.default_rng(options.seed)
            train = self._tokens(split.train, tokenizer, draw, options.label_dropout)
            validation = self._tokens(split.validation, tokenizer, draw, 0.0)
            characters = sum(len(one_line(self.labelled.texts[place])) for place in split.validation)
            self._texts[key] = Text(tokenizer, train, validation, characters)
        return self._texts[key]

    def _tokens(
        self, places: tuple[int, ...], tokenizer: Tokenizer, draw: numpy.random.Generator, unlabelled: float
    ) -> Tokens:
        """Texts one after the other, each with its label; the share ``unlabelled`` of them without.

        The END before a text has that text's label, because it is what the first token is foretold from.
        """
        size = tokenizer.vocabulary_size
        parts: list[NDArray[numpy.int32]] = [numpy.zeros(0, dtype=numpy.int32)]
        for place in draw.permutation(len(places)).tolist():
            tokens = tokenizer.encode_array(END + one_line(self.labelled.texts[places[place]]).removesuffix(END))
            label = 0 if draw.random() < unlabelled else self.labelled.labels[places[place]] + 1
            parts.append((tokens + label * size).astype(numpy.int32))
        return numpy.concatenate([*parts, tokenizer.encode_array(END)])

    def _header(self, run: CellRun, text: Text, model: LanguageModel) -> Header:
        split = self.split(run.options.val)
        header = super()._header(run, text, model)
        counted: dict[str, Any] = {"train_texts": len(split.train), "val_texts": len(split.validation)}
        return dataclasses.replace(
            header,
            split={**header.split, **counted, "duplicates": split.duplicates},
            labels=self._labels_header(run.options),
        )
