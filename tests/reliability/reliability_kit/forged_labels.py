"""Forgeries of what a checkpoint with labels says: a classifier's, and those of a model that labels steer."""

from __future__ import annotations

import copy
import json
import struct
from typing import Any

from reliability_kit.forged_headers import NASTY
from reliability_kit.parts import Mutant, Original, Random, assemble

HOSTILE_NAMES = (
    "\x1b[2J", "\x1b]0;owned\x07", "a\nb", "\x9b31m", "\u202egnp", "\ud800", "\x00", "", "a" * 201, "\u2028", "\ufeff",
)  # fmt: skip


def _forged(o: Original, name: str, description: dict[str, Any], wrong: bool = True) -> Mutant:
    return Mutant(name, assemble(o.table, description, o.data), wrong=wrong, damage=False)


def names(o: Original, c: Random) -> Mutant:
    """Names that stand twice, are too many or too few, cannot be shown, or are none."""
    description = copy.deepcopy(o.description)
    labels = description["labels"]
    real = list(labels["names"])
    wrong: list[Any] = [
        [real[0]] * len(real), real[:1], [*real, "more"], [], real + real, None, "ab", {"a": 1}, [1, 2], [real, real],
        [None, None], [str(number) for number in range(1_000)], [str(number) for number in range(99_000)],
        ["x" * 1_000_000, "y"], *([name, *real[1:]] for name in HOSTILE_NAMES),
    ]  # fmt: skip
    labels["names"] = c.choice(wrong)
    if isinstance(labels["names"], list) and c.random() < 0.5:
        labels["counts"] = [1] * len(labels["names"])
    return _forged(o, "labels' names that cannot be", description)


def counts(o: Original, c: Random) -> Mutant:
    """Counts of another number, of another kind, or all 0."""
    description = copy.deepcopy(o.description)
    real = description["labels"]["counts"]
    description["labels"]["counts"] = c.choice(
        [real[:1], [*real, 1], [0] * len(real), [-1, *real[1:]], [1.5, *real[1:]], [True, *real[1:]], None, 7, {},
         ["1", *real[1:]], [[1], *real[1:]], [1] * 99_000]
    )  # fmt: skip
    return _forged(o, "labels' counts that cannot be", description)


def odd_counts(o: Original, c: Random) -> Mutant:
    """Counts that can be, but that no corpus has."""
    description = copy.deepcopy(o.description)
    real = description["labels"]["counts"]
    description["labels"]["counts"] = [c.choice((0, 1, 10**299)), *real[1:]]
    return _forged(o, "labels' counts that no corpus has", description, wrong=False)


def task(o: Original, c: Random) -> Mutant:
    """Another task, or labels without their task and the other way round."""
    description = copy.deepcopy(o.description)
    kind = c.randrange(3)
    if kind == 0:
        description["task"] = c.choice(("translate", "", None, 1, [], {}, "\x1b[2J", "classify\x00", "GENERATE"))
    elif kind == 1:
        description["task"] = "classify" if description.get("task", "generate") == "generate" else "generate"
    else:
        description.pop("labels")
    return _forged(o, "another task, or no labels", description)


def sizes(o: Original, c: Random) -> Mutant:
    """Sizes that the weights contradict."""
    description = copy.deepcopy(o.description)
    model = description["model"]
    keys = [key for key in ("classes", "labels", "label_size", "bidirectional", "pool", "norm") if key in model]
    key = c.choice(keys)
    flipped = not model[key] if isinstance(model[key], bool) else None
    wrong = [0, -1, 1, 7, 1 << 24, 1 << 70, 1.0, "3", None, [], "layer", "\x1b[2J", flipped]
    model[key] = c.choice([one for one in wrong if one != model[key] or type(one) is not type(model[key])])
    return _forged(o, "sizes of a model with labels that its weights contradict", description)


def strange_size(o: Original, c: Random) -> Mutant:
    """A size that is not there, or of the other kind of model."""
    description = copy.deepcopy(o.description)
    model = description["model"]
    lost = [key for key in ("classes", "labels", "label_size") if key in model]
    if c.random() < 0.5:
        model.pop(c.choice(lost))
    else:
        model[c.choice(("priors", "__class__", "tie" if "classes" in model else "classes"))] = c.choice((1, True, {}))
    return _forged(o, "a size lost or of another model", description)


def more_figures(o: Original, c: Random) -> Mutant:
    """Figures, calibration and recipe as no training writes them: shown at most, and never believed."""
    description = copy.deepcopy(o.description)
    part = c.choice(("figures", "recipe", "labels"))
    for key in ("val_labels", "val_confusion", "val_calibration", "max_tokens", "priors", "\x1b[2J", "val_accuracy"):
        description[part][key] = c.choice([value for value in NASTY if value != "\ud800"])
    return _forged(o, "figures and calibration of a stranger", description, wrong=False)


def weights(o: Original, c: Random) -> Mutant:
    """A weight of the readout or of the labels' vectors that is no number, or the tensor in another shape."""
    wanted = [name for name in sorted(o.table) if name.startswith(("labels.", "readout."))]
    name = c.choice(wanted)
    entry = o.table[name]
    begin, end = entry["data_offsets"]
    if c.random() < 0.5:
        table = json.loads(json.dumps(o.table))
        shape = table[name]["shape"]
        table[name]["shape"] = shape[::-1] if len(set(shape)) > 1 else [1, *shape]
        return Mutant("labels' weights in another shape", assemble(table, o.description, o.data), wrong=True)
    size = (end - begin) // max(1, _count(entry["shape"]))
    bad = {4: struct.pack("<f", c.choice((float("nan"), float("inf")))), 2: b"\x80\x7f"}[size]
    at = begin + size * c.randrange((end - begin) // size)
    data = o.data[:at] + bad + o.data[at + size :]
    return Mutant("labels' weights that are no numbers", assemble(o.table, o.description, data), wrong=True)


def _count(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


FORGED_LABELS = (names, counts, odd_counts, task, sizes, strange_size, more_figures, weights)
