"""A loaded checkpoint as the generator sees it: text becomes tokens, tokens move the state, the state gives logits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cells.errors import CelloquyError
from cells.labels import LABEL, with_label
from cells.row_reader import LONG, worth_rows
from cells.state import State
from checkpoints.finding import siblings
from checkpoints.tokenizers import pieces, token_bytes
from plugins.vocabulary import Vocabulary
from repl.chain import rows_of
from repl.labels import label_weights
from repl.sampling import Array

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from checkpoints.loading import Loaded
    from repl.guide import Guide

ROWS = 64
"""Continuations that are written side by side: more gain nothing, and memory stays the same for any number."""

WHOLE_VECTORS = 32
"""Hidden sizes that are a multiple of this leave no odd end in an elementwise loop, whatever the number of rows."""

READ_AT_ONCE = 1024
"""Characters of a prompt or transcript that are read in one go: bounds the memory that a long one takes. A text that is
so long that it is read in rows (``checkpoints.replay``) is read as a whole."""


class Position(NamedTuple):
    """A place in a text for one model: the state before its last token, and that token.

    The last token is not in the state yet, so that the logits after it need not be kept. ``pending`` None is the place
    before any token.
    """

    state: State
    pending: int | None


class OneThread:
    """``with OneThread(): …`` computes on one thread, and returns to the number before.

    A step is too small to share: on a busy two-core machine two threads were 25 times slower. One thread also means
    that the same text gives the same numbers whatever the machine's number of cores.
    """

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != 1:
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self._before != 1:
            torch.set_num_threads(self._before)


class TextModel:
    """One checkpoint, ready to read and to write. Holds no place in a text; a Position is handed in and given back."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.tokenizer = loaded.tokenizer
        self.name = loaded.name
        self.cell_name = _label(loaded)
        self.family = self.name.removesuffix("." + self.cell_name)
        unknown = self.tokenizer.unknown_id
        self.banned: tuple[int, ...] = () if unknown is None else (unknown,)
        self.vocabulary = Vocabulary(functools.partial(token_bytes, self.tokenizer))
        self._guides: dict[str, Guide] = {}
        self.start = self._start_token()
        self.device = loaded.model.readout.bias.device
        self._seen: tuple[Position, tuple[Array, State]] | None = None
        with OneThread():
            self.decoder = loaded.model.decoder()

    @functools.cached_property
    def rows_agree(self) -> bool:
        """Whether a row gives the same numbers in a batch as alone: judged by the sizes, and tried on a few steps.

        Where it does not (loops over odd sizes end on another path of the processor, a device may have no packed
        products), an ulp here and there would now and then draw another token, so that all is written one by one.
        """
        together = self.decoder.initial_state(ROWS)
        sizes = (value.shape[1] for layer in together for name, value in layer.items() if name != LABEL)
        if any(size % WHOLE_VECTORS for size in sizes):
            return False
        alone = [self.decoder.initial_state(1) for _ in range(4)]
        tokens = torch.arange(ROWS, device=self.device) * 7919 % self.tokenizer.vocabulary_size
        with OneThread():
            for _ in range(3):
                logits, together = self.decoder.step(tokens, together)
                for row, state in enumerate(alone):
                    single, alone[row] = self.decoder.step(tokens[row : row + 1], state)
                    if not torch.equal(single[0], logits[row]):
                        return False
        return True

    def _start_token(self) -> int:
        """What is read when there is no text at all: a line break, or the first entry of a vocabulary without one."""
        tokens = self.tokenizer.encode("\n")
        return tokens[0] if tokens[0] != self.tokenizer.unknown_id else 1

    def beginning(self, label: str | None = None, strength: float = 1.0) -> Position:
        """The place before any text; with a label that steers, and how strongly."""
        position = Position(self.decoder.initial_state(1), None)
        return position if label is None else self.steered(position, label, strength)

    def steered(self, position: Position, label: str | None, strength: float = 1.0) -> Position:
        """The same place with another label, or with none; UsageError for a label that the model does not have."""
        weights = label_weights(label, self.loaded.header.label_names, self.name, strength)
        state = with_label(position.state, torch.tensor(weights, device=self.device)) if weights else position.state
        return position if state is position.state else Position(state, position.pending)

    def read(self, tokens: Sequence[int], position: Position) -> Position:
        """The place after ``tokens``, which are read at once: a long text in rows side by side."""
        if not tokens:
            return position
        state, pending = position
        entering = [*tokens[:-1]] if pending is None else [pending, *tokens[:-1]]
        if worth_rows(self.loaded.model, len(entering)):
            from checkpoints.replay import state_after

            state = state_after(self.loaded.model, entering, state)
        elif entering:
            with OneThread():
                state = self.decoder.read(torch.tensor(entering, device=self.device).unsqueeze(1), state)
        return Position(state, tokens[-1])

    def parts(self, text: str) -> Iterator[tuple[str, list[int]]]:
        """A text in parts, each with its tokens; always the same parts for the same text."""
        parts = ((part, self.tokenizer.encode(part)) for part in pieces(text, READ_AT_ONCE, self.tokenizer.cut))
        if len(text) < LONG:  # it may have more tokens than that, but not many
            yield from parts
            return
        found = list(parts)
        tokens = [token for _, tokens in found for token in tokens]
        if worth_rows(self.loaded.model, len(tokens) - 1):
            yield text, tokens
        else:
            yield from found

    def read_text(self, text: str, position: Position) -> Position:
        """The place after ``text``."""
        for _, tokens in self.parts(text):
            position = self.read(tokens, position)
        return position

    def ahead(self, position: Position) -> tuple[Array, State]:
        """The logits [V] of the token after ``position``, and the state that has its last token in it."""
        if self._seen is not None and self._seen[0] is position:
            (_, seen), self._seen = self._seen, None
            return seen
        state, pending = position
        token = self.start if pending is None else pending
        with OneThread():
            logits, state = self.decoder.step_one(token, state)
        row: Array = rows_of(logits)[0]
        if row[0] != row[0]:
            self.rows(logits)
        return row, state

    def look_ahead(self, position: Position) -> State:
        """The state that has the last token of ``position`` in it; :meth:`ahead` need not work it out again."""
        seen = self.ahead(position)
        self._seen = position, seen
        return seen[1]

    def rows(self, logits: Tensor) -> Array:
        """Logits [B, V] as an array. CelloquyError naming the cell if its state has turned into NaN."""
        rows = rows_of(logits)
        if np.isnan(rows[:, 0]).any():  # the readout mixes all units, so that one NaN is in every logit
            label = self.loaded.cell.label
            raise CelloquyError(f"the logits are not numbers (NaN): the checkpoint or its cell {label} is broken")
        return rows

    def guide(self, pattern: str) -> Guide:
        """What holds a text to a pattern; kept, since samples and prompts share it."""
        if pattern not in self._guides:
            from repl.guide import Guide

            self._guides[pattern] = Guide(pattern, self.vocabulary, self.banned)
        return self._guides[pattern]

    def sibling_paths(self) -> dict[str, Path]:
        """The files of the family now, by cell."""
        return siblings(self.loaded.path)


def text_model(loaded: Loaded | TextModel) -> TextModel:
    """A checkpoint, ready to read and to write; what is ready stays as it is."""
    return loaded if isinstance(loaded, TextModel) else TextModel(loaded)


def _label(loaded: Loaded) -> str:
    """The cell as the file's name has it, if it is named as a member of a family; else the cell's own name.

    A mixture of cells, which has no file, brings its own label.
    """
    label: str = getattr(loaded, "cell_label", "")
    if label:
        return label
    family, _, cell = loaded.name.rpartition(".")
    return cell if family and cell else loaded.header.cell_name
