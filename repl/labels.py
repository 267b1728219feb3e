"""Which label steers: ``positive``, or a mixture like ``a:0.7,b:0.3``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cells.errors import UsageError
from checkpoints.labels.corpus import listed
from checkpoints.shown import shown

if TYPE_CHECKING:
    from repl.settings import Settings
    from repl.text_model import TextModel


def label_weights(text: str | None, names: Sequence[str], model: str, strength: float = 1.0) -> list[float]:
    """The weight of each of the labels ``names``, which sum to 1; all 0 for None, which is no label.

    ``strength`` is how far the vector that they add up to stands from the mean of all labels' vectors, as a multiple of
    how far it would stand: above 1 the other labels' weights may be below 0, below 1 all come closer together.

    Raises UsageError for a label that ``model`` does not have, naming those that it has, and for weights that are not
    above 0.
    """
    weights = [0.0] * len(names)
    if text is None:
        return weights
    if not names:
        raise UsageError(f"{model} has no labels to steer it; celloquy train --label-column makes a model that has")
    if text in names:
        weights[names.index(text)] = 1.0
        return _moved(weights, strength)
    for part in text.split(","):
        name, weight = _part(part, names)
        if name not in names:
            raise UsageError(f"{model} has no label {shown(name)}; it has: {listed(names)}")
        if not 0 < weight < math.inf:
            raise UsageError(f"a label's weight must be a number above 0, as in a:0.7,b:0.3, not {shown(part.strip())}")
        if weights[names.index(name)]:
            raise UsageError(f"the label {shown(name)} stands twice in {shown(text)}")
        weights[names.index(name)] = weight
    largest = max(weights)
    shares = [weight / largest for weight in weights]  # the sum of two numbers of 1e308 is none
    total = math.fsum(shares)
    return _moved([share / total for share in shares], strength)


def _moved(weights: list[float], strength: float) -> list[float]:
    """Weights whose vector is mean + strength (vector - mean); themselves, to the bit, at 1."""
    if strength == 1:
        return weights
    return [strength * weight + (1 - strength) / len(weights) for weight in weights]


def steering(values: Mapping[str, Any]) -> tuple[str | None, float]:
    """The label that sampling values ask for, and how strongly it steers."""
    return values["label"], values["label_strength"]


def checked_label(model: TextModel, settings: Settings, before: str | None) -> str | None:
    """The label that is set; UsageError, and ``before`` set again, if the model does not have it."""
    label: str | None = settings["label"]
    try:
        label_weights(label, model.loaded.header.label_names, model.name)
    except UsageError:
        settings.replace({**settings.values_now, "label": before})
        raise
    return label


def _part(part: str, names: Sequence[str]) -> tuple[str, float]:
    """A label and its weight, 1 unless given; NaN for a weight that is no number."""
    if part.strip() in names:
        return part.strip(), 1.0
    name, colon, number = part.rpartition(":")
    if not colon:
        return part.strip(), 1.0
    try:
        return name.strip(), float(number)
    except ValueError:
        return name.strip(), math.nan
