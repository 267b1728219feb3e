"""The calls of the Python interface that are no more than a door to what is behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkpoints.labels.classifier import Classifier
    from plugins.registry import Registry
    from repl.generator import Writer


def load(
    name: str | os.PathLike[str] = "shakespeare",
    cell: str | None = None,
    *,
    device: str = "cpu",
    registry: Registry | None = None,
    **sampling: Any,
) -> Writer:
    """A writer on a checkpoint: a path, a family, or ``family.cell``, as on the command line.

    ``sampling`` are settings to begin with (``temperature=0.5``, ``top_p=0.9``, ``seed=1``). Raises CelloquyError if
    there is no such checkpoint or it cannot be loaded, UsageError for a setting that cannot be.
    """
    from checkpoints.loading import load_checkpoint
    from repl.generator import Writer
    from repl.registration import registry as shared_registry

    registry = shared_registry() if registry is None else registry
    return Writer(load_checkpoint(os.fspath(name), cell, registry, device), registry, **sampling)


def load_classifier(
    name: str | os.PathLike[str],
    cell: str | None = None,
    *,
    device: str = "cpu",
    registry: Registry | None = None,
) -> Classifier:
    """What tells the labels of texts: ``classify(text)`` gives every label's probability.

    Raises CelloquyError if there is no such checkpoint, if it cannot be loaded, or if it knows no labels.
    """
    from checkpoints.labels.classifier import load_classifier as load
    from repl.registration import registry as shared_registry

    return load(os.fspath(name), cell, shared_registry() if registry is None else registry, device)
