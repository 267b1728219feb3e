"""One call of ``train``: the corpus read once, and a run for each cell."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from cells.initialise import fills, initialise
from cells.kernels import fused_kernel
from cells.layer import KernelFinder
from cells.memory import keep_freed_memory, worth_keeping
from cells.model import LanguageModel, ModelConfig
from checkpoints.auto_recipe import AUTO
from checkpoints.batches import BatchSize, SequentialBatches, fitting_batch
from checkpoints.corpus import Corpus
from checkpoints.device import choose_device, choose_precision
from checkpoints.dialog import Template, read_dialogues
from checkpoints.encoded import Text, corpus_tokenizer, encoded
from checkpoints.event_file import EventFile
from checkpoints.files import make_folder
from checkpoints.header import Header
from checkpoints.interrupt import Interrupted
from checkpoints.large_corpus import LargeCorpus, open_corpus
from checkpoints.loading import Loaded, load_checkpoint
from checkpoints.machine import choose_machine
from checkpoints.measured import work_of
from checkpoints.options import BUDGETS, DEFAULT_MINUTES, TrainOptions, cell_options
from checkpoints.parallel import Ranks, joined_ranks
from checkpoints.places import places, run_lock
from checkpoints.progress import Reporter, Silence
from checkpoints.random_batches import RandomBatches
from checkpoints.resume import FILE, Resume, latest_resume
from checkpoints.run_parts import Machine, Parts
from checkpoints.runlog import NoLog, RunLog
from checkpoints.schedule import Budget
from checkpoints.shown import shown
from checkpoints.speed import auto_values, facts_of
from checkpoints.start import start_from, widened_tokenizer
from checkpoints.tokenizers import Tokenizer, tokenizer_from_json
from checkpoints.train import options_from, require_corpus, resumed_options, same_budget, sizes_of
from checkpoints.trainer import Trainer
from checkpoints.trial import gradient_trial, trial_loss
from checkpoints.validation import CheckpointWriter, Validation
from plugins.sources import own_version

if TYPE_CHECKING:
    from plugins.registry import Registry

RANDOM_APART = 0x9E3779B97F4A7C15
"""Between the seeds of two processes of one run, whose dropout must differ."""


@dataclass(frozen=True)
class CellRun:
    """What is known of a run before anything large is made."""

    options: TrainOptions
    cell: Cell
    path: Path
    folder: Path
    resume: Resume | None
    start: Loaded | None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``family.cell``."""
        return f"{self.options.name}.{self.options.cell}"


class TrainingSession:
    """Checks everything that can be checked, then trains the cells one after the other."""

    def __init__(self, paths: list[Path], registry: Registry | None, reporter: Reporter) -> None:
        require_corpus(paths)
        if registry is None:
            from plugins.registry import default_registry

            registry = default_registry()
        self.registry = registry
        self.paths = paths
        self.reporter = reporter
        self.ranks = Ranks()
        self._format, self._encoding, self._errors = "text", "utf-8", "strict"
        self._corpus: Corpus | LargeCorpus | None = None
        self._texts: dict[str, Text] = {}
        self._tokenizers: dict[tuple[Any, ...], Tokenizer] = {}

    @property
    def corpus(self) -> Corpus | LargeCorpus:
        """The corpus, read when it is first needed."""
        if self._corpus is None:
            self._corpus = self._read()
        return self._corpus

    def _read(self) -> Corpus | LargeCorpus:
        if self._format == "dialog":
            return read_dialogues(self.paths, None, self._encoding, self._errors)
        return open_corpus(self.paths, self._encoding, self._errors, self.reporter.note)

    def train_all(self, plans: list[dict[str, Any]], again: str) -> list[Path]:
        """Train each planned cell; ``again`` is the command that an interrupted person should give."""
        with joined_ranks() as self.ranks, contextlib.ExitStack() as held:
            if not self.ranks.first:
                self.reporter = Silence()
            self.ranks.from_first(lambda: _lock_all(plans, held))
            with self.ranks.together():
                runs = self._prepare_all(plans)
            return self._train_each(runs, again)

    def _prepare_all(self, plans: list[dict[str, Any]]) -> list[CellRun]:
        runs = [self._prepare(values) for values in plans]
        first = runs[0].options
        self._format, self._encoding, self._errors = first.format, first.encoding, first.errors
        if any(values.get("resume") for values in plans) and not any(run.resume for run in runs):
            raise CelloquyError(f"nothing to resume: there is no {runs[0].folder / FILE}; start without --resume")
        return runs

    def _train_each(self, runs: list[CellRun], again: str) -> list[Path]:
        threads = torch.get_num_threads()
        try:
            for run in runs:
                self._train_one(run)
        except Interrupted as stop:
            raise Interrupted(f"{stop}; go on with: {again}{self._plugins(runs)}", stop.exit_status - 128) from None
        finally:
            self.reporter.close()
            torch.set_num_threads(threads)
        return [run.path for run in runs]

    def _plugins(self, runs: list[CellRun]) -> str:
        """The --plugin options without which the cells would not be there."""
        cells = {run.options.cell for run in runs}
        files = [plugin.source for plugin in self.registry.plugins if cells & {*plugin.cells}]
        return "".join(f" --plugin {shlex.quote(file)}" for file in files if file.endswith(".py"))

    # ------------------------------------------------------------------ before anything large is made

    def _prepare(self, values: dict[str, Any]) -> CellRun:
        """Options, cell, paths, and what the run goes on from. Every mistake in the options is found here."""
        options = TrainOptions.from_values(values)
        path, folder = places(options)
        self.ranks.rows(options.batch)
        resume = latest_resume(folder, self.reporter.note) if options.resume else None
        if resume is not None:
            _check_ranks(f"{options.name}.{options.cell}", resume, self.ranks.count)
            if same_budget(resumed_options(values, resume.options), resume.options) and resume.run.finished:
                self.reporter.note(f"{options.name}.{options.cell} is finished; give a larger budget to go on")
            options = resumed_options(values, resume.options)
        start = None
        if options.start_from is not None and resume is None:
            start = load_checkpoint(options.start_from, options.cell, self.registry)
            options = options_from(options, values, start.header)
        given = {**values, **(sizes_of(start.header) if start else {})}
        asked = start.header.cell["options"] if start else {}
        cell = self.registry.create_cell(options.cell, {**asked, **cell_options(options.cell_option)})
        fills(options.init)
        choose_precision(options.precision, choose_device(options.device))
        self._check_sizes(options)
        return CellRun(options, cell, path, folder, resume, start, given)

    def _check_sizes(self, options: TrainOptions) -> None:
        """UsageError if no model can have these sizes, whatever the vocabulary."""
        self._sizes(options, 2, None)

    def _sizes(self, options: TrainOptions, vocabulary_size: int, unknown_id: int | None) -> ModelConfig:
        """The sizes of the model for a vocabulary."""
        return ModelConfig(
            vocabulary_size=vocabulary_size,
            hidden_size=options.hidden,
            num_layers=options.layers,
            embedding_size=options.embed,
            dropout=options.dropout,
            residual=options.residual,
            norm=options.norm,
            tie=options.tie,
            unknown_id=unknown_id,
        )

    def _text(self, run: CellRun) -> Text:
        """The corpus as tokens of the run's tokenizer; the same for several cells is made once."""
        options = run.options
        tokenizer = self._tokenizer(run)
        key = f"{options.val} {tokenizer.to_json()}"
        if key not in self._texts:
            self._texts[key] = encoded(self.corpus, tokenizer, options.val)
        return self._texts[key]

    def _tokenizer(self, run: CellRun) -> Tokenizer:
        """The tokenizer that the run began with, or that of the checkpoint it starts from, or the corpus's own.

        The last is made once for all cells that want the same.
        """
        if run.resume is not None:
            tokenizer = tokenizer_from_json(run.resume.tokenizer)
            self._check_changed(run, tokenizer)
            return tokenizer
        if run.start is not None:
            return widened_tokenizer(run.start.tokenizer, self.corpus.letters)
        options = run.options
        key = (options.tokens, options.normalize, options.lowercase, options.val)
        if key not in self._tokenizers:
            self._tokenizers[key] = self._made_tokenizer(options)
        return self._tokenizers[key]

    def _made_tokenizer(self, options: TrainOptions) -> Tokenizer:
        """A new tokenizer for the corpus; byte pairs and words are learned now."""
        return corpus_tokenizer(self.corpus, options.tokens, options.normalize, options.lowercase)

    def _check_changed(self, run: CellRun, tokenizer: Tokenizer) -> None:
        """Refuse another corpus than the run began with, unless it was asked for and its characters are known."""
        if not self._changed(run):
            return
        if not run.options.allow_changed_corpus:
            raise CelloquyError(
                f"the corpus is not the one that {run.name} began with; give --allow-changed-corpus to go on with this"
                " one, or start anew without --resume"
            )
        strange = tokenizer.unknown_characters(self.corpus.letters)
        if strange:
            raise CelloquyError(
                f"{run.name} cannot go on with this corpus: it does not know {shown(strange[0])}"
                f"{f' and {len(strange) - 1} other characters' if strange[1:] else ''}; start a new run --from it"
            )

    def _changed(self, run: CellRun) -> bool:
        return run.resume is not None and run.resume.fingerprint != self.corpus.fingerprint

    # ------------------------------------------------------------------ one run

    def _train_one(self, run: CellRun) -> None:
        if run.resume is not None and run.resume.run.finished and same_budget(run.options, run.resume.options):
            return
        with self.ranks.together():
            self.ranks.from_first(lambda: bool(self._text(run)))  # the others find a large corpus encoded already
            text = self._text(run)
            device = choose_device(run.options.device)
            run = self._with_recipe(run, text, device)
            if device.type == "cpu" and worth_keeping(run.options.bptt, run.options.batch, run.options.hidden):
                keep_freed_memory()
            size = self._size(run.options, text)
        with torch.random.fork_rng(enabled=True):
            model = self._model(run, text, device)
            machine = self._machine(run, model, size, device)
            model.compute_dtype = torch.bfloat16 if machine.precision == "bf16" else None
            self._fit(run, text, model.train(), size, machine)

    def _with_recipe(self, run: CellRun, text: Text, device: torch.device) -> CellRun:
        """The run with the values that ``--recipe auto`` chooses; a resumed one keeps those that it began with."""
        if run.options.recipe != AUTO or run.resume is not None:
            return run
        facts = facts_of(run.cell, len(text.train), text.tokenizer.vocabulary_size)
        kernels = self._kernels(run, device)
        values = self.ranks.from_first(
            lambda: auto_values(run, facts, device, kernels, self.ranks.count, self.reporter.note)
        )
        without = dict.fromkeys(BUDGETS) if BUDGETS & values.keys() else {}
        return dataclasses.replace(run, options=dataclasses.replace(run.options, **{**without, **values}))

    def _size(self, options: TrainOptions, text: Text) -> BatchSize:
        return fitting_batch(len(text.train), options.batch, options.bptt, self.ranks.count)

    def _model(self, run: CellRun, text: Text, device: torch.device) -> LanguageModel:
        """The model with its initial weights; a resumed run overwrites them later."""
        config = self._sizes(run.options, text.tokenizer.vocabulary_size, text.tokenizer.unknown_id)
        model = LanguageModel(run.cell, config, kernels=self._kernels(run, device))
        initialise(model, run.options.init, run.options.seed)
        if run.start is not None:
            start_from(model, text.tokenizer, run.start)
        torch.manual_seed((run.options.seed + self.ranks.rank * RANDOM_APART) % 2**63)
        return model.to(device)

    def _kernels(self, run: CellRun, device: torch.device) -> KernelFinder | None:
        """Where the model finds fused kernels, by --kernels. UsageError if it must have one and there is none."""
        if run.options.kernels == "loop":
            return None
        finder = self.registry.kernel_finder()
        if run.options.kernels == "auto":
            return finder
        if fused_kernel(run.cell, device, torch.float32, True) is not None:
            return fused_kernel
        if finder(run.cell, device, choose_precision(run.options.precision, device) or torch.float32, True) is None:
            raise UsageError(f"cell {run.cell.label} has no fused kernel on {device.type}; leave --kernels at auto")
        return finder

    def _machine(self, run: CellRun, model: LanguageModel, size: BatchSize, device: torch.device) -> Machine:
        """Threads and precision: as asked, or as measured; a resumed run keeps its own, unless asked otherwise now."""
        work = work_of(model, len(self.ranks.rows(size.batch)), size.bptt)
        machine = choose_machine(
            run.options, run.resume, device, self.ranks, work, lambda dtype: self._trial(model, dtype, size)
        )
        if run.options.verbose:
            self.reporter.note(machine.told)
        return machine

    def _trial(self, model: LanguageModel, dtype: torch.dtype | None, size: BatchSize) -> Callable[[], None]:
        """A small piece of the work, by which threads and precision are measured."""
        rows, steps = len(self.ranks.rows(size.batch)), min(size.bptt, 32)
        return gradient_trial(model, dtype, lambda: trial_loss(model, rows, steps))

    def _fit(self, run: CellRun, text: Text, model: LanguageModel, size: BatchSize, machine: Machine) -> None:
        if size.remark:
            self.reporter.note(f"warning: {size.remark}")
        writer = CheckpointWriter(
            run.path, run.folder / "previous.safetensors", self._header(run, text, model), run.options.store
        )
        self.ranks.from_first(lambda: make_folder(run.folder))
        if self.ranks.first and (run.resume is None or self._changed(run)) and writer.keep_earlier():
            self.reporter.note(f"the earlier {run.name} is kept as {writer.aside}")
        self.reporter.start(run.name, self._description(model, text, machine))
        place = run.resume.run.log_bytes if run.resume else 0
        with self.ranks.together():
            opened = self._log(run, place)
        with opened as log:
            batches = self._batches(run.options, text, size)
            validation, training_text = self._evaluated(run.options, text)
            parts = Parts(
                batches,
                validation,
                text.tokenizer,
                writer,
                log,
                self.reporter,
                run.folder / FILE,
                machine,
                self.corpus.fingerprint,
                training_text,
                self.ranks,
            )
            trainer = self._trainer(model, run.options, _budget(run.options, batches), parts)
            if run.resume is not None:
                with self.ranks.together():
                    trainer.restore(run.resume)
                if self._changed(run):
                    trainer.forget_best()
            trainer.run()
        self.reporter.close()
        self.reporter.note(f"{run.name}: {_outcome(trainer)}{run.path}")

    def _batches(self, options: TrainOptions, text: Text, size: BatchSize) -> SequentialBatches:
        rows = self.ranks.rows(size.batch)
        if options.sampling == "random":
            return RandomBatches(text.train, size.batch, size.bptt, options.seed, rows)
        return SequentialBatches(text.train, size.batch, size.bptt, rows)

    def _trainer(self, model: LanguageModel, options: TrainOptions, budget: Budget, parts: Parts) -> Trainer:
        return Trainer(model, options, budget, parts)

    def _description(self, model: LanguageModel, text: Text, machine: Machine) -> str:
        return (
            f"{model.parameter_count:,} parameters, {len(text.train):,} tokens to train on,"
            f" {len(text.validation):,} to validate, {machine.precision}, {machine.described}"
        )

    def _evaluated(self, options: TrainOptions, text: Text) -> tuple[Validation | None, Validation | None]:
        """The validation part and the training text, by --eval-on; None for what evaluations do not score."""
        validation = training_text = None
        if options.val and options.eval_on != "train":
            validation = Validation(text.validation, text.validation_characters)
        if options.eval_on != "val":
            characters = self.corpus.characters - text.validation_characters
            training_text = Validation(text.train, characters, "train_text")
        return validation, training_text

    def _log(self, run: CellRun, place: int) -> RunLog | NoLog:
        """``log.jsonl``, and TensorBoard's file if that is asked for; only one process of several keeps them."""
        if not self.ranks.first:
            return NoLog()
        folder = run.options.tensorboard
        events = EventFile(Path(folder) / run.name) if folder else None
        return RunLog(run.folder / "log.jsonl", place, events.log if events else None)

    def _template(self, run: CellRun) -> dict[str, Any] | None:
        """How dialogues stand in the text that the model learned: its own way, or that of what it started from."""
        if run.options.format == "dialog":
            return Template().to_json()
        return run.start.header.template if run.start else None

    def _header(self, run: CellRun, text: Text, model: LanguageModel) -> Header:
        entry = self.registry.cells[run.options.cell]
        return Header(
            family=run.options.name,
            cell={
                "name": run.options.cell,
                "version": run.cell.version,
                "options": run.cell.options,
                "distribution": entry.distribution,
                "distribution_version": entry.distribution_version,
            },
            model=model.config.to_json(),
            tokenizer=text.tokenizer.to_json(),
            split={
                "val_fraction": run.options.val,
                "train_tokens": len(text.train),
                "val_tokens": len(text.validation),
            },
            corpus={
                "files": [vars(file) for file in self.corpus.files],
                "characters": self.corpus.characters,
                "fingerprint": f"sha256:{self.corpus.fingerprint}",
            },
            recipe=run.options.recipe_values(),
            celloquy=own_version(),
            template=self._template(run),
        )


def _lock_all(plans: list[dict[str, Any]], held: contextlib.ExitStack) -> None:
    for values in plans:
        held.enter_context(run_lock(TrainOptions.from_values(values)))


def _check_ranks(name: str, resume: Resume, count: int) -> None:
    """CelloquyError if a run is to go on with another number of processes than it began with."""
    began = resume.machine.get("ranks", 1)
    if began != count:
        how = "without torchrun" if began == 1 else f"with torchrun --nproc-per-node {shown(began)}"
        raise CelloquyError(
            f"{name} was begun by {_processes(began)} and cannot go on with {count}; go on {how}, or start anew"
            " without --resume"
        )


def _processes(count: Any) -> str:
    return "1 process" if count == 1 else f"{shown(count)} processes"


def _budget(options: TrainOptions, batches: SequentialBatches) -> Budget:
    if options.epochs is not None:
        return Budget(steps=batches.steps(options.epochs))
    if options.steps is not None:
        return Budget(steps=options.steps)
    return Budget(seconds=60 * (options.minutes or DEFAULT_MINUTES))


def _outcome(trainer: Trainer) -> str:
    done = trainer.done
    if done.best_loss is None:
        return f"{done.step} steps, "
    what = "validation loss" if trainer.parts.validation is not None else "loss on the training text"
    return f"{what} {done.best_loss:.4f} after {done.best_step} of {done.step} steps, "
