"""Splitting labelled text into a training and a validation part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cells.errors import CelloquyError
from checkpoints.labels.corpus import LabelledCorpus
from checkpoints.shown import shown


@dataclass(frozen=True)
class LabelledSplit:
    """Places of the texts of both parts, in the corpus's order; ``duplicates`` counts texts that stood before."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    duplicates: int = 0


def split_labelled(corpus: LabelledCorpus, fraction: float) -> LabelledSplit:
    """The last ``fraction`` of each label's texts, unbroken, is the validation part (a stratified split).

    Texts that are equal but for white space and case count as one, at the place of the first, and all of them come to
    its side, whatever their labels. Raises CelloquyError if a label would have no text to learn from, or, with a
    fraction above 0, none to validate on.
    """
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(corpus.texts):
        groups.setdefault(" ".join(text.split()).casefold(), []).append(place)
    by_label: dict[int, list[list[int]]] = {}
    for group in groups.values():
        by_label.setdefault(corpus.labels[group[0]], []).append(group)
    train: list[int] = []
    validation: list[int] = []
    for mine in by_label.values():
        wanted = fraction * sum(map(len, mine))
        kept = 0
        while mine and kept + len(mine[-1]) / 2 < wanted:
            kept += len(mine[-1])
            validation.extend(mine.pop())
        for group in mine:
            train.extend(group)
    split = LabelledSplit(tuple(sorted(train)), tuple(sorted(validation)), len(corpus) - len(groups))
    _check(corpus, split, fraction)
    return split


def _check(corpus: LabelledCorpus, split: LabelledSplit, fraction: float) -> None:
    parts = [("to learn from", split.train)] + ([("to validate on", split.validation)] if fraction else [])
    for what, places in parts:
        for name, count in zip(corpus.names, corpus.counts(places), strict=True):
            if count == 0:
                raise CelloquyError(
                    f"the label {shown(name)} has no text {what} (it has {corpus.counts()[corpus.names.index(name)]} in"
                    " all); give more of it, leave it out, or take another --val"
                )


def balance(names: Sequence[str], counts: Sequence[int], most: int = 12) -> str:
    """How the texts share out over the labels, in words: "negative 12,500 (50.0%), positive 12,500 (50.0%)"."""
    total = max(1, sum(counts))
    order = sorted(range(len(names)), key=lambda number: -counts[number])
    said = [f"{names[number]} {counts[number]:,} ({counts[number] / total:.1%})" for number in order[:most]]
    return ", ".join(said) + (f", … {len(names) - most} more" if len(names) > most else "")
