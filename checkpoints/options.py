"""Every option of ``celloquy train``, declared once: flag, default, allowed values and help. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cells.errors import UsageError
from checkpoints.tokenizers import check_tokens
from plugins.options import Option, OptionSet

DEFAULT_MINUTES = 5.0
"""The budget of each cell when neither --epochs nor --steps nor --minutes is given."""

BUDGETS = ("epochs", "steps", "minutes")

REGULARISATION = (
    Option(
        "dropout-kind",
        "choice",
        "independent",
        "Dropout masks: independent for each step, or locked, one for the whole sequence (variational dropout).",
        choices=("independent", "locked"),
    ),
    *(
        Option(name, float, 0.0, help, minimum=0, maximum=1, exclusive_maximum=True)
        for name, help in (
            ("weight-dropout", "Share of the recurrent weights left out in each step of training."),
            ("embedding-dropout", "Share of the tokens whose embedding is left out in each step of training."),
        )
    ),
    Option("activation-penalty", float, 0.0, "Penalty on the mean square of the last layer's output.", minimum=0),
    Option("temporal-penalty", float, 0.0, "The same on its change from one step to the next.", minimum=0),
    Option(
        "ema",
        float,
        0.0,
        "Decay of a moving average of the weights, which is evaluated and saved instead of them; 0 for none.",
        minimum=0,
        maximum=1,
        exclusive_maximum=True,
    ),
)
"""Regularisation beside --dropout; sources and arithmetic are in ``cells.regularise`` and ``checkpoints.average``."""

LABELS = (
    Option(
        "task",
        "choice",
        "generate",
        "What to learn: to write text, or to tell the labels of texts (CSV, TSV or JSON Lines).",
        choices=("generate", "classify"),
    ),
    Option("text-column", str, "text", "Column of a labelled corpus that holds the texts.", metavar="COLUMN"),
    Option(
        "label-column",
        str,
        None,
        "Column that holds the labels; without --task classify they steer what the model writes.",
        metavar="COLUMN",
    ),
    Option("bidirectional", bool, False, "Classifier: read each text backwards as well."),
    Option(
        "pool",
        "choice",
        "last",
        "Classifier: what is judged of a text, its last states, or the largest or mean outputs.",
        choices=("last", "max", "mean"),
    ),
    Option("vectors", str, None, "Classifier: word vectors to begin with (GloVe's text format).", metavar="FILE"),
    Option(
        "max-tokens",
        int,
        400,
        "Classifier: tokens of a text that are read, from both its ends if it is longer; 0 for all.",
        minimum=0,
        maximum=1 << 20,
    ),
    Option("label-size", int, 16, "Size of a label's vector, which joins each token's.", minimum=1, maximum=65536),
    Option(
        "label-dropout",
        float,
        0.1,
        "Share of the texts that are read without their label, so that the model also writes unlabelled.",
        minimum=0,
        maximum=1,
        exclusive_maximum=True,
    ),
)
"""Labelled text: classifiers, and labels that steer."""

TRAIN_OPTIONS = OptionSet(
    (
        Option("name", str, None, "Name of the checkpoints: NAME.CELL.safetensors."),
        Option("cell", str, "lstm", "Cells to train, one after the other, separated by commas.", metavar="CELL,…"),
        Option("out", str, "./checkpoints", "Folder for the checkpoints.", metavar="DIR"),
        Option(
            "format",
            "choice",
            "text",
            'What the corpus is: text, or dialogues in JSON Lines, {"turns": ["…", "…"]} a line.',
            choices=("text", "dialog"),
        ),
        *LABELS,
        Option("hidden", int, 512, "Units in each layer.", minimum=1, maximum=65536),
        Option("layers", int, 1, "Recurrent layers.", minimum=1, maximum=256),
        Option("embed", int, 0, "Size of the token embedding, 0 for the hidden size.", minimum=0, maximum=65536),
        Option("tokens", str, "char", "What a token is: char, byte, bpe:N (N byte pairs), word or word:N."),
        Option(
            "normalize",
            "choice",
            "none",
            "Unicode normalisation of every text that is read: nfc joins accents, nfkc also wide and small forms.",
            choices=("none", "nfc", "nfkc"),
        ),
        Option("lowercase", bool, False, "Read every text in lower case."),
        Option("dropout", float, 0.0, "Dropout of each layer's output.", minimum=0, maximum=1, exclusive_maximum=True),
        *REGULARISATION,
        Option("residual", bool, False, "Add each layer's input to its output."),
        Option("norm", "choice", "none", "Normalisation before each layer.", choices=("none", "layer")),
        Option("init", str, "default", "Initial weights: default, glorot, orthogonal, he or normal:STD."),
        Option("tie", bool, False, "Share the weights of embedding and readout."),
        Option("bptt", int, 128, "Steps through which gradients flow back.", minimum=1, maximum=1 << 20),
        Option("batch", int, 64, "Rows of the text that are read side by side.", minimum=1, maximum=1 << 20),
        Option(
            "reset",
            float,
            0.0,
            "Share of the rows that begin each batch anew, without a past: what teaches a model to begin.",
            minimum=0,
            maximum=1,
        ),
        Option(
            "sampling",
            "choice",
            "sequential",
            "Which pieces a batch holds: sequential rows read on with their state, random ones begin without a past.",
            choices=("sequential", "random"),
        ),
        Option("optimizer", "choice", "adamw", "Optimizer.", choices=("adamw", "sgd")),
        Option("momentum", float, 0.9, "Momentum of sgd.", minimum=0, maximum=1, exclusive_maximum=True),
        Option("lr", float, 3e-3, "Highest learning rate.", minimum=0, exclusive_minimum=True, maximum=1e3),
        Option(
            "schedule",
            "choice",
            "cosine",
            "Learning rate over the run: cosine falls to 0, plateau halves when validation stops improving.",
            choices=("cosine", "constant", "plateau"),
        ),
        Option("warmup", int, 0, "Steps in which the learning rate rises from 0.", minimum=0),
        Option("clip", float, 1.0, "Largest norm (or value) of the gradient, 0 for no clipping.", minimum=0),
        Option(
            "clip-kind",
            "choice",
            "norm",
            "What --clip limits: the norm of the whole gradient, or the value of each of its entries.",
            choices=("norm", "value"),
        ),
        Option("weight-decay", float, 0.01, "Weight decay of the matrices.", minimum=0),
        Option("epochs", float, None, "Stop after reading the corpus N times.", minimum=0, exclusive_minimum=True),
        Option("steps", int, None, "Stop after N steps.", minimum=1),
        Option(
            "minutes",
            float,
            None,
            f"Stop after M minutes for each cell ({DEFAULT_MINUTES:g} if no other end is given).",
            minimum=0,
            exclusive_minimum=True,
        ),
        Option(
            "val",
            float,
            0.1,
            "Last part of the corpus, kept for validation.",
            minimum=0,
            maximum=1,
            exclusive_maximum=True,
        ),
        Option("patience", int, 0, "Stop after N validations without improvement, 0 for never.", minimum=0),
        Option("eval-every", int, 0, "Steps between validations, 0 to choose by their cost.", minimum=0),
        Option(
            "eval-on",
            "choice",
            "val",
            "Text that evaluations score: the validation part, the training text, or both.",
            choices=("val", "train", "both"),
        ),
        Option("seed", int, 1, "Seed of weights, dropout and samples.", minimum=0, maximum=2**63 - 1),
        Option("device", str, "auto", "Where to compute: auto, cpu, cuda or mps."),
        Option(
            "precision",
            "choice",
            "auto",
            "Arithmetic of the matrix products; auto takes what is faster.",
            choices=("auto", "fp32", "bf16"),
        ),
        Option(
            "kernels",
            "choice",
            "auto",
            "How layers run in training: auto as measured to be fastest, loop step by step, fused kernels only.",
            choices=("auto", "loop", "fused"),
        ),
        Option("threads", str, "auto", "Threads for CPU work; auto measures, or a number."),
        Option("verbose", bool, False, "Say how sizes, precision and threads were chosen."),
        Option("store", "choice", "fp32", "How the weights are stored in the checkpoint.", choices=("fp32", "bf16")),
        Option(
            "on-divergence",
            "choice",
            "lower",
            "If the loss explodes or is no number: lower goes back and halves the learning rate, stop ends the run.",
            choices=("lower", "stop"),
        ),
        Option("encoding", str, "utf-8", "Encoding of the corpus."),
        Option(
            "errors",
            "choice",
            "strict",
            "What to do with bytes that are not in that encoding: strict refuses, replace reads U+FFFD.",
            choices=("strict", "replace"),
        ),
        Option("resume", bool, False, "Go on with the run that was interrupted or finished."),
        Option("allow-changed-corpus", bool, False, "Resume although the corpus is not the one the run began with."),
        Option("from", str, None, "Start from the weights of this checkpoint.", metavar="NAME"),
        Option(
            "recipe",
            str,
            None,
            "Option values: a file, one that ships by name, or auto (for corpus and time); the command line wins.",
            metavar="FILE.toml",
        ),
        Option("sample-every", int, 0, "Steps between sample texts, 0 for none.", minimum=0),
        Option("tensorboard", str, None, "Also write the figures for TensorBoard into this folder.", metavar="DIR"),
        Option("prompt", str, (), "Beginning of a sample text (repeatable).", multiple=True, metavar="TEXT"),
        Option("cell-option", str, (), "Option of the cell (repeatable).", multiple=True, metavar="KEY=VALUE"),
    )
)


@dataclass(frozen=True)
class TrainOptions:
    """The checked values of :data:`TRAIN_OPTIONS` for one cell, by name. ``from`` is ``start_from`` here."""

    name: str
    cell: str
    out: str
    format: str
    task: str
    text_column: str
    label_column: str | None
    bidirectional: bool
    pool: str
    vectors: str | None
    max_tokens: int
    label_size: int
    label_dropout: float
    hidden: int
    layers: int
    embed: int
    tokens: str
    normalize: str
    lowercase: bool
    dropout: float
    dropout_kind: str
    weight_dropout: float
    embedding_dropout: float
    activation_penalty: float
    temporal_penalty: float
    ema: float
    residual: bool
    norm: str
    init: str
    tie: bool
    bptt: int
    batch: int
    reset: float
    sampling: str
    optimizer: str
    momentum: float
    lr: float
    schedule: str
    warmup: int
    clip: float
    clip_kind: str
    weight_decay: float
    epochs: float | None
    steps: int | None
    minutes: float | None
    val: float
    patience: int
    eval_every: int
    eval_on: str
    seed: int
    device: str
    precision: str
    kernels: str
    threads: str
    verbose: bool
    store: str
    on_divergence: str
    encoding: str
    errors: str
    resume: bool
    allow_changed_corpus: bool
    start_from: str | None
    recipe: str | None
    sample_every: int
    tensorboard: str | None
    prompt: tuple[str, ...]
    cell_option: tuple[str, ...]

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> TrainOptions:
        """Check values given by key and fill in the defaults. UsageError names the first one that is wrong."""
        checked = TRAIN_OPTIONS.validate(values)
        _check_text(checked)
        given = [name for name in BUDGETS if checked[name] is not None]
        if len(given) > 1:
            raise UsageError(f"give one of --epochs, --steps and --minutes, not {' and '.join(given)}")
        if not given:
            checked["minutes"] = DEFAULT_MINUTES
        if checked["name"] is None:
            raise UsageError("the checkpoints need a name: --name NAME")
        check_tokens(checked["tokens"])
        _check_task(checked, values)
        check_name(checked["name"], "name")
        check_name(checked["cell"], "cell")
        checked["start_from"] = checked.pop("from")
        return cls(**checked)

    def recipe_values(self) -> dict[str, Any]:
        """What a checkpoint keeps of the options: those that make the result, without folders and file names."""
        left_out = (
            "name",
            "cell",
            "out",
            "resume",
            "verbose",
            "recipe",
            "start_from",
            "prompt",
            "sample_every",
            "tensorboard",
            "allow_changed_corpus",
            "vectors",
        )
        values = {key: value for key, value in vars(self).items() if key not in left_out and value is not None}
        values["cell_option"] = list(self.cell_option)
        if self.start_from is not None:
            values["from"] = self.start_from
        return values


CLASSIFIER_ONLY = ("bidirectional", "pool", "vectors", "max_tokens")
STEERING_ONLY = ("label_size", "label_dropout")
WRITER_ONLY = (
    *("format", "tie", "bptt", "reset", "sampling", "eval_on", "from", "sample_every", "prompt"),
    *("activation_penalty", "temporal_penalty", *STEERING_ONLY),
)
"""Options that say nothing about a classifier."""


def _check_task(checked: dict[str, Any], given: dict[str, Any]) -> None:
    """UsageError for an option that is given and means nothing for the task; a classifier has a column of labels."""
    changed = {TRAIN_OPTIONS[name].key for name in given}
    changed = {key for key in changed if checked[key] != TRAIN_OPTIONS[key].default}
    refused: tuple[str, ...]
    if checked["task"] == "classify":
        refused, why = WRITER_ONLY, "means nothing for a classifier"
        checked["label_column"] = checked["label_column"] or "label"
    elif checked["label_column"] is None:
        refused, why = (
            (*CLASSIFIER_ONLY, *STEERING_ONLY, "text_column"),
            "is for labelled text: --task or --label-column",
        )
    else:
        refused, why = (*CLASSIFIER_ONLY, "from"), "means nothing for a model that labels steer"
    for key in refused:
        if key in changed:
            raise UsageError(f"{TRAIN_OPTIONS[key].name} {why}")
    if checked["label_column"] is not None and checked["format"] == "dialog":
        raise UsageError("format dialog has no labels; labelled text is CSV, TSV or JSON Lines")


PATHS = ("out", "vectors", "tensorboard")


def _check_text(values: dict[str, Any]) -> None:
    """UsageError for text that no file could hold, such as bytes of the command line that are not UTF-8, or for a path
    that no system can have."""
    for key, value in values.items():
        if key in PATHS and "\0" in str(value):
            raise UsageError(f"{TRAIN_OPTIONS[key].name} is not a path: {ascii(value)[:60]}")
        try:
            "".join(value if isinstance(value, tuple) else str(value)).encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{TRAIN_OPTIONS[key].name} is not text in UTF-8: {ascii(value)[:60]}") from None


def check_name(name: str, what: str) -> None:
    """UsageError unless ``name`` can be a part of a file name on every system."""
    fits = name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if not fits or name[0] in "-." or name.endswith(".") or len(name) > 100:
        shown = ascii(name) if len(name) <= 60 else ascii(name[:57]) + "…"
        raise UsageError(f"{what} must be letters, digits, '-', '_' and '.', with no '-' or '.' first, not {shown}")


def cell_options(pairs: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dict. UsageError for one without an equals sign."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"cell-option must be KEY=VALUE, not {pair!r}")
        options[key.strip().replace("-", "_")] = value.strip()
    return options
