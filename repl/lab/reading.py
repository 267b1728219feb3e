"""What the lab's commands read: a checkpoint, the text to look at, and that text as pieces, one a token."""

from __future__ import annotations

import sys
from collections.abc import Sized

import torch

from cells.errors import CelloquyError, UsageError
from cells.state import State
from checkpoints.loading import Loaded
from checkpoints.tokenizers import Tokenizer
from repl.streams import argument_text, is_terminal, read_input
from repl.text_model import READ_AT_ONCE
from repl.unknown import unknown_warning

LONGEST = 4_000
"""Tokens of a text that can be drawn, a column each."""


def given_text(text: str | None) -> str:
    """The text of the command line, or standard input where there is none. CelloquyError if there is no text at all."""
    if text is None:
        if is_terminal(sys.stdin):
            raise UsageError("give a text: as an argument, or on standard input")
        text = read_input()
    else:
        text = argument_text(text)
    if not text:
        raise CelloquyError("the text is empty; at least one character is needed")
    return text


def check_length(tokens: Sized) -> None:
    """CelloquyError if there are too many to be drawn."""
    if len(tokens) > LONGEST:
        raise CelloquyError(f"the text has {len(tokens):,} tokens, and at most {LONGEST:,} can be shown")


def tokens_of(loaded: Loaded, text: str) -> torch.Tensor:
    """The text's tokens [T]; unknown characters are named on standard error."""
    unknown = loaded.tokenizer.unknown_characters(text)
    if unknown:
        print(unknown_warning(loaded.name, unknown), file=sys.stderr)
    return torch.tensor(loaded.tokenizer.encode(text))


def state_after(loaded: Loaded, tokens: torch.Tensor) -> State:
    """The state after reading ``tokens`` [T] from the beginning, T from 0."""
    decoder = loaded.model.decoder()
    state = decoder.initial_state(1)
    for part in torch.split(tokens[:, None], READ_AT_ONCE):
        if len(part):
            state = decoder.read(part, state)
    return state


def pieces_of(tokenizer: Tokenizer, tokens: torch.Tensor) -> list[str]:
    """What each token adds to the text; "" for a byte that only begins a character."""
    decoder = tokenizer.stream_decoder()
    return [decoder.push(token) for token in tokens.tolist()]


def chosen_units(text: str, hidden_size: int) -> list[int]:
    """Unit numbers from a list as people write it: ``3,7,20-31`` or ``all``. UsageError for anything else."""
    if text.strip() == "all":
        return list(range(hidden_size))
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"units must be numbers and ranges, as in 3,7,20-31, or all; not {text!r}")
        units += range(int(first), int(last if dash else first) + 1)
        if units and max(units) >= hidden_size:
            raise UsageError(f"there is no unit {max(units)}: the layer has {hidden_size}, counted from 0")
    if not units:
        raise UsageError(f"units {text!r} names none")
    return list(dict.fromkeys(units))


def chosen_layer(layer: int | None, count: int) -> int:
    """The index of a layer counted from 1; None is the last. UsageError if there is none of that number."""
    if layer is None:
        return count - 1
    if layer > count:
        raise UsageError(f"there is no layer {layer}: the model has {count}")
    return layer - 1
