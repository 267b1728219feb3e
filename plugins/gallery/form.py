"""A sampler that writes verse: every text has the form asked for, and within it the model chooses as it would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cells.errors import CelloquyError
from plugins.gallery.form_pattern import OPTIONS, place_after, places, tokens_that_fit
from plugins.sampler import Sampler, Stream
from plugins.vocabulary import Vocabulary

KEPT = 4096
"""Masks that are kept; a form has one for each of its places."""


class Form(Sampler):
    """Bans the tokens that do not follow the form, so that the others keep the model's own odds among them.

    Where a text stands in the form is read off the text itself, from its last empty line on; nothing is remembered, so
    that going back, branching and swapping cells need no more than the text. A prompt that follows the form is gone on
    with; after any other the form begins. Tokens that are a part of a character are never drawn.
    """

    name = "form"
    options = OPTIONS
    order = 50

    def __init__(self) -> None:
        self._masks: dict[tuple[Vocabulary, tuple[str, ...], int], Tensor] = {}

    def active(self, values: Mapping[str, Any]) -> bool:
        """A form or an acrostic turns it on."""
        return bool(values["form"] or values["acrostic"])

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Logits [B, V] with minus infinity for what does not follow the form."""
        form = places(values["form"], values["form_marks"], values["acrostic"])
        mask = torch.stack([self._mask(form, stream, logits.shape[-1]) for stream in streams])
        return logits.masked_fill(~mask.to(logits.device), float("-inf"))

    def _mask(self, form: tuple[str, ...], stream: Stream, size: int) -> Tensor:
        """The tokens [V] that may come now."""
        vocabulary = stream.vocabulary
        if vocabulary is None:
            raise CelloquyError("a form needs to know what the tokens read as")
        place = place_after(form, _recent(stream, vocabulary, 4 * len(form) + 8))
        key = (vocabulary, form, place)
        if key not in self._masks:
            if len(self._masks) >= KEPT:
                self._masks.clear()
            fitting = tokens_that_fit(form, place, vocabulary.texts)
            if not fitting:
                asked = form[place]
                raise CelloquyError(
                    f"the form asks for {asked!r}, which is no token of this checkpoint"
                    if asked
                    else "this checkpoint has no token that is a letter, so it cannot keep a form"
                )
            mask = torch.zeros(size, dtype=torch.bool)
            mask[fitting] = True
            self._masks[key] = mask
        return self._masks[key]


def _recent(stream: Stream, vocabulary: Vocabulary, characters: int) -> str:
    """The text's last characters if an empty line is among them, as it is in one that follows the form; else all."""
    text = vocabulary.tail(stream.history, characters).decode("utf-8", "ignore")
    if "\n\n" in text:
        return text
    return b"".join([vocabulary.encoded[token] for token in stream.history]).decode("utf-8", "ignore")
