"""``celloquy train``: from text files to one checkpoint for each cell asked for."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError, UsageError
from checkpoints.auto_recipe import AUTO
from checkpoints.launch import prefix, spoken_once
from checkpoints.options import BUDGETS, TRAIN_OPTIONS, TrainOptions
from checkpoints.recipe import Recipe, overlay, read_recipe
from checkpoints.shown import shown
from checkpoints.tokenizers import tokens_option

if TYPE_CHECKING:
    from checkpoints.header import Header
    from checkpoints.progress import Reporter
    from plugins.registry import Registry

FIXED_KEYS = (
    *(
        "format",
        "hidden",
        "layers",
        "embed",
        "tokens",
        "normalize",
        "lowercase",
        "residual",
        "norm",
        "tie",
        "init",
        "cell_option",
    ),
    *("bptt", "batch", "val", "seed", "optimizer", "store", "from"),
    *("sampling", "eval_on"),
    *("task", "text_column", "label_column", "bidirectional", "pool", "max_tokens", "label_size", "label_dropout"),
)
"""Options that a run keeps from its beginning to its end, resumed or not."""


def train(
    corpus: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    name: str | None = None,
    cell: str | None = None,
    out: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> list[Path]:
    """Train a model on text files, one for each cell; returns the checkpoint files ``OUT/NAME.CELL.safetensors``.

    ``options`` are those of ``celloquy train`` by key (``TRAIN_OPTIONS``); give only what was asked for, because a
    value given here wins over a recipe's, and None counts as not given. ``cell`` may name several, "rnn,lstm,gru".
    Progress goes to standard error.

    Raises UsageError for a wrong option, CelloquyError for anything that cannot be done, and
    ``checkpoints.interrupt.Interrupted`` after Ctrl-C or SIGTERM, when everything is saved.
    """
    paths = [corpus] if isinstance(corpus, str | os.PathLike) else list(corpus)
    asked = {**options, "name": name, "cell": cell, "out": out}
    given = {key.replace("-", "_"): _plain(value) for key, value in asked.items() if value is not None}
    with spoken_once():
        TRAIN_OPTIONS.validate(given)
        runs = plan(given)
    from checkpoints.labels.sessions import session_for
    from checkpoints.progress import make_reporter

    with spoken_once():
        session = session_for(runs)([Path(path) for path in paths], registry, reporter or make_reporter())
    return session.train_all(runs, again=_command(paths, given))


def _plain(value: Any) -> Any:
    """A path as text; anything else as it is."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def plan(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The option values of each cell's run, by key: what was given over its recipe's. Checked, not yet completed."""
    named = given.get("recipe")
    recipe = read_recipe(named) if named not in (None, AUTO) else Recipe()
    cells = given.get("cell") or recipe.common.get("cell") or ",".join(recipe.by_cell) or TRAIN_OPTIONS["cell"].default
    names = [name.strip() for name in cells.split(",")]
    if len(set(names)) != len(names) or not all(names):
        raise UsageError(f"cell must name each cell once, separated by commas, not {shown(cells)}")
    runs = []
    for name in names:
        values = overlay(recipe.common, recipe.by_cell.get(name, {}), given, {"cell": name})
        if TrainOptions.from_values(values).task == "classify" and named == AUTO:
            raise UsageError("recipe auto chooses for models that write; give a classifier its options")
        runs.append(values)
    return runs


def resumed_options(values: dict[str, Any], stored: dict[str, Any]) -> TrainOptions:
    """The options of a resumed run: those it began with, and over them what is given now where that may change.

    Raises UsageError for a change of what the run is made of.
    """
    began = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    began["from"] = began.pop("start_from", None)
    for key in FIXED_KEYS:
        if key in values and values[key] != began.get(key):
            option = TRAIN_OPTIONS[key]
            raise UsageError(
                f"{option.name} cannot change when a run is resumed: it began with {option.format(began.get(key))}"
            )
    return TrainOptions.from_values(overlay(began, values))


def same_budget(one: TrainOptions, other: dict[str, Any]) -> bool:
    """Whether a finished run is asked for no more than it did."""
    return all(getattr(one, name) == other.get(name) for name in (*BUDGETS, "patience"))


def options_from(options: TrainOptions, values: dict[str, Any], header: Header) -> TrainOptions:
    """The options of a run that starts from a checkpoint: its tokens and sizes instead of the defaults.

    Raises UsageError for one that is given and differs.
    """
    sizes = sizes_of(header)
    for key, value in sizes.items():
        if key in values and values[key] != value:
            raise UsageError(f"{key} cannot be {values[key]}: the checkpoint to start from has {value}")
    return dataclasses.replace(options, **sizes)


def sizes_of(header: Header) -> dict[str, Any]:
    """The options that say what a checkpoint's model and tokens are, by key."""
    model = header.model
    return {
        "tokens": tokens_option(header.tokenizer),
        "normalize": header.tokenizer.get("normalize", "none"),
        "lowercase": header.tokenizer.get("lowercase", False),
        "hidden": model["hidden_size"],
        "layers": model["num_layers"],
        "embed": model["embedding_size"],
        "residual": model["residual"],
        "norm": model["norm"],
        "tie": model["tie"],
    }


def _command(paths: Sequence[str | os.PathLike[str]], given: dict[str, Any]) -> str:
    """The command that goes on with what is being trained."""
    words = [*prefix(), "train", *(os.fspath(path) for path in paths)]
    for key in ("name", "cell", "out", "recipe"):
        if key in given:
            words += [f"--{key}", str(given[key])]
    return shlex.join([*words, "--resume"])


def require_corpus(paths: Sequence[Path]) -> None:
    """CelloquyError if no corpus was named."""
    if not paths:
        raise CelloquyError("no corpus given: name one or more text files")
