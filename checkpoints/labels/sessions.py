"""One call of ``train`` on labelled text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from cells.classifier import ClassifierConfig, TextClassifier
from cells.errors import CelloquyError, UsageError
from cells.initialise import initialise
from cells.model import LanguageModel
from checkpoints.batches import BatchSize, SequentialBatches
from checkpoints.corpus import Corpus
from checkpoints.encoded import Text
from checkpoints.header import CLASSIFY, GENERATE, Header, read_header
from checkpoints.labels.batches import EncodedTexts, TextBatches, encoded
from checkpoints.labels.corpus import LabelledCorpus, read_labelled
from checkpoints.labels.figures import report
from checkpoints.labels.split import LabelledSplit, balance, split_labelled
from checkpoints.labels.trainer import ClassifierTrainer, LabelValidation, trial_loss
from checkpoints.labels.vectors import WordVectors, read_vectors
from checkpoints.options import TrainOptions
from checkpoints.places import places
from checkpoints.resume import begun_options
from checkpoints.run_parts import Machine, Parts
from checkpoints.schedule import Budget
from checkpoints.session import RANDOM_APART, CellRun, TrainingSession
from checkpoints.tokenizers import Tokenizer, make_tokenizer
from checkpoints.trainer import Trainer
from checkpoints.trial import gradient_trial
from checkpoints.validation import Validation

if TYPE_CHECKING:
    from checkpoints.progress import Reporter
    from plugins.registry import Registry


@dataclass(frozen=True)
class LabelledTexts(Text):
    """Labelled text as tokens: the texts and labels of both parts. The fields of ``Text`` are all their tokens."""

    train_texts: EncodedTexts = dataclasses.field(default_factory=lambda: EncodedTexts([]))
    train_labels: tuple[int, ...] = ()
    validation_texts: EncodedTexts = dataclasses.field(default_factory=lambda: EncodedTexts([]))
    validation_labels: tuple[int, ...] = ()
    duplicates: int = 0


class LabelledSession(TrainingSession):
    """A session whose corpus has labels: ``labelled`` once it is read."""

    def __init__(self, paths: list[Path], registry: Registry | None, reporter: Reporter) -> None:
        super().__init__(paths, registry, reporter)
        self._columns = ("text", "label")
        self._labelled: LabelledCorpus | None = None
        self._splits: dict[float, LabelledSplit] = {}

    @property
    def labelled(self) -> LabelledCorpus:
        """The corpus with its labels."""
        if self._labelled is None:
            text_column, label_column = self._columns
            self._labelled = read_labelled(self.paths, text_column, label_column, self._encoding, self._errors)
            if self._labelled.skipped:
                self.reporter.note(f"warning: {self._labelled.skipped} rows without text or label are left out")
        return self._labelled

    def _read(self) -> Corpus:
        """The texts as one: what vocabularies and fingerprints are made of."""
        found = self.labelled
        return Corpus("\n".join(found.texts), found.files, found.fingerprint)

    def _prepare(self, values: dict[str, Any]) -> CellRun:
        run = super()._prepare(values)
        self._columns = (run.options.text_column, run.options.label_column or "label")
        return run

    def split(self, fraction: float) -> LabelledSplit:
        """Both parts; the same for several cells is made once, and told once."""
        if fraction not in self._splits:
            found = self._splits[fraction] = split_labelled(self.labelled, fraction)
            names = self.labelled.names
            self.reporter.note(f"to learn from: {balance(names, self.labelled.counts(found.train))}")
            if found.validation:
                self.reporter.note(f"to validate on: {balance(names, self.labelled.counts(found.validation))}")
            if found.duplicates:
                self.reporter.note(f"{found.duplicates:,} texts stand there again; each is on one side only")
        return self._splits[fraction]

    def _labels_of(self, part: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.labelled.labels[place] for place in part)

    def _labels_header(self, options: TrainOptions) -> dict[str, Any]:
        names = self.labelled.names
        return {"names": list(names), "counts": self.labelled.counts(self.split(options.val).train)}


class ClassifierSession(LabelledSession):
    """Trains classifiers, one for each cell."""

    def __init__(self, paths: list[Path], registry: Registry | None, reporter: Reporter) -> None:
        super().__init__(paths, registry, reporter)
        self._vectors: dict[str, WordVectors] = {}

    def _check_sizes(self, options: TrainOptions) -> None:
        _config(options, 2, 2, None, 0)

    def _text(self, run: CellRun) -> LabelledTexts:
        split = self.split(run.options.val)
        tokenizer = self._tokenizer(run)
        key = f"{run.options.val} {run.options.max_tokens} {tokenizer.to_json()}"
        if key not in self._texts:
            parts = [
                EncodedTexts(encoded(tokenizer, self.labelled.texts[place], run.options.max_tokens) for place in part)
                for part in (split.train, split.validation)
            ]
            self._texts[key] = LabelledTexts(
                tokenizer,
                parts[0].tokens,
                parts[1].tokens,
                sum(len(self.labelled.texts[place]) for place in split.validation),
                parts[0],
                self._labels_of(split.train),
                parts[1],
                self._labels_of(split.validation),
                split.duplicates,
            )
        return cast(LabelledTexts, self._texts[key])

    def _made_tokenizer(self, options: TrainOptions) -> Tokenizer:
        """Of the texts to learn from: what only others hold must stay unknown, a word one token."""
        text = "\n".join(self.labelled.texts[place] for place in self.split(options.val).train)
        return make_tokenizer(options.tokens, text, options.normalize, options.lowercase, spelled=False)

    def _size(self, options: TrainOptions, text: Text) -> BatchSize:
        texts = cast(LabelledTexts, text).train_texts
        if len(texts) < self.ranks.count:
            raise CelloquyError(
                f"there are only {len(texts)} texts to learn from, too few for {self.ranks.count} processes"
            )
        rows = min(options.batch, len(texts) // self.ranks.count * self.ranks.count)
        remark = "" if rows == options.batch else f"there are only {rows} texts to learn from: batch is {rows}"
        return BatchSize(rows, max(1, len(text.train) // len(texts)), remark)

    def _model(self, run: CellRun, text: Text, device: torch.device) -> LanguageModel:
        tokenizer = text.tokenizer
        if run.resume is not None:
            config = ClassifierConfig.from_json(run.resume.model)
        else:
            vectors = self._word_vectors(run.options, tokenizer)
            size = 0 if vectors is None else vectors.table.shape[1]
            config = _config(
                run.options, tokenizer.vocabulary_size, len(self.labelled.names), tokenizer.unknown_id, size
            )
        model = TextClassifier(run.cell, config, kernels=self._kernels(run, device))
        initialise(model, run.options.init, run.options.seed)
        if run.resume is None and vectors is not None:
            with torch.no_grad():
                model.embedding.weight.copy_(torch.from_numpy(vectors.table))
        torch.manual_seed((run.options.seed + self.ranks.rank * RANDOM_APART) % 2**63)
        return cast(LanguageModel, model.to(device))

    def _word_vectors(self, options: TrainOptions, tokenizer: Tokenizer) -> WordVectors | None:
        if options.vectors is None:
            return None
        key = f"{options.seed} {tokenizer.to_json()}"
        if key not in self._vectors:
            vocabulary = [tokenizer.decode([number]).strip() for number in range(tokenizer.vocabulary_size)]
            found = self._vectors[key] = read_vectors(options.vectors, vocabulary, options.seed, tokenizer.unknown_id)
            self.reporter.note(
                f"{Path(options.vectors).name}: {found.known:,} of {len(vocabulary):,} tokens have a vector of"
                f" {found.table.shape[1]}; the others are drawn like them"
            )
        return self._vectors[key]

    def _trial(self, model: LanguageModel, dtype: torch.dtype | None, size: BatchSize) -> Callable[[], None]:
        rows = len(self.ranks.rows(size.batch))
        classifier, steps = cast(TextClassifier, model), min(size.bptt, 32)
        return gradient_trial(classifier, dtype, lambda: trial_loss(classifier, rows, steps))

    def _batches(self, options: TrainOptions, text: Text, size: BatchSize) -> SequentialBatches:
        texts = cast(LabelledTexts, text)
        return cast(
            SequentialBatches,
            TextBatches(
                texts.train_texts, texts.train_labels, size.batch, options.seed, self.ranks.rank, self.ranks.count
            ),
        )

    def _evaluated(self, options: TrainOptions, text: Text) -> tuple[Validation | None, Validation | None]:
        texts = cast(LabelledTexts, text)
        if not options.val:
            return None, None
        validation = LabelValidation(texts.validation_texts, texts.validation_labels, self.labelled.names)
        return cast(Validation, validation), None

    def _trainer(self, model: LanguageModel, options: TrainOptions, budget: Budget, parts: Parts) -> Trainer:
        return ClassifierTrainer(cast(TextClassifier, model), options, budget, parts)

    def _description(self, model: LanguageModel, text: Text, machine: Machine) -> str:
        texts = cast(LabelledTexts, text)
        mean = len(text.train) / len(texts.train_texts)
        return (
            f"{model.parameter_count:,} parameters, {len(texts.train_texts):,} texts to learn from (of {mean:.0f}"
            f" tokens on average), {len(texts.validation_texts):,} to validate, {machine.precision},"
            f" {machine.described}"
        )

    def _fit(self, run: CellRun, text: Text, model: LanguageModel, size: BatchSize, machine: Machine) -> None:
        super()._fit(run, text, model, size, machine)
        found = read_header(run.path).figures
        if "val_accuracy" in found and self.ranks.first:
            for line in report({key.removeprefix("val_"): value for key, value in found.items()}):
                self.reporter.note(f"  {line}")

    def _header(self, run: CellRun, text: Text, model: LanguageModel) -> Header:
        texts = cast(LabelledTexts, text)
        header = super()._header(run, text, model)
        split = {
            **header.split,
            "train_texts": len(texts.train_texts),
            "val_texts": len(texts.validation_texts),
            "duplicates": texts.duplicates,
        }
        recipe = dict(header.recipe)
        if run.options.vectors is not None:
            recipe["vectors"] = Path(run.options.vectors).name
        return dataclasses.replace(
            header, split=split, recipe=recipe, task=CLASSIFY, labels=self._labels_header(run.options)
        )


def session_for(runs: list[dict[str, Any]]) -> type[TrainingSession]:
    """The session that trains these runs: by their task, which a resumed run brings itself, and their labels."""
    tasks = {_task(values) for values in runs}
    if len(tasks) > 1:
        raise UsageError("cells that are trained together need the same task, and all labels or none")
    task, labelled = tasks.pop()
    if task == CLASSIFY:
        return ClassifierSession
    if not labelled:
        return TrainingSession
    from checkpoints.labels.steering import SteeringSession

    return SteeringSession


def _task(values: dict[str, Any]) -> tuple[str, bool]:
    """A run's task, and whether it has labels: as it began, if it is resumed."""
    began = begun_options(places(TrainOptions.from_values(values))[1]) if values.get("resume") else {}
    options = {**began, **values}
    task = options.get("task") or GENERATE
    return task, task == CLASSIFY or options.get("label_column") is not None


def _config(
    options: TrainOptions, vocabulary_size: int, classes: int, unknown_id: int | None, vector_size: int
) -> ClassifierConfig:
    """The classifier's sizes; word vectors of ``vector_size`` numbers decide that of the embedding."""
    if vector_size and options.embed not in (0, vector_size):
        raise UsageError(f"embed cannot be {options.embed}: the word vectors have {vector_size} numbers")
    return ClassifierConfig(
        vocabulary_size=vocabulary_size,
        classes=classes,
        hidden_size=options.hidden,
        num_layers=options.layers,
        embedding_size=vector_size or options.embed,
        bidirectional=options.bidirectional,
        dropout=options.dropout,
        residual=options.residual,
        norm=options.norm,
        pool=options.pool,
        unknown_id=unknown_id,
    )
