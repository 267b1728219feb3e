"""Texts for the lab to read: what a checkpoint writes by itself, or windows of a file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cells.errors import CelloquyError
from checkpoints.corpus import read_corpus
from checkpoints.loading import Loaded


def own_text(loaded: Loaded, length: int, rows: int, seed: int) -> Tensor:
    """``rows`` texts drawn from the model itself at temperature 1, [length, rows]; the unknown token never."""
    generator = torch.Generator().manual_seed(seed)
    decoder = loaded.model.decoder()
    unknown = loaded.tokenizer.unknown_id
    state = decoder.initial_state(rows)
    first = loaded.tokenizer.encode("\n")[0]
    tokens = torch.full((rows,), 1 if first == unknown else first)
    drawn = []
    for _ in range(length):
        logits, state = decoder.step(tokens, state)
        if unknown is not None:
            logits[:, unknown] = -torch.inf
        tokens = torch.multinomial(torch.softmax(logits.double(), 1), 1, generator=generator).squeeze(1)
        drawn.append(tokens)
    return torch.stack(drawn)


def windows(loaded: Loaded, path: str | Path, length: int, rows: int) -> Tensor:
    """``rows`` windows of a file, spread evenly over it, [length, rows]. CelloquyError if the file is too short."""
    tokens = torch.as_tensor(loaded.tokenizer.encode_array(read_corpus([path]).text), dtype=torch.int64)
    if len(tokens) < length:
        raise CelloquyError(f"{path} has {len(tokens)} tokens and {length} are needed: give a shorter --length")
    starts = torch.linspace(0, len(tokens) - length, rows).round().long().tolist()
    return torch.stack([tokens[start : start + length] for start in starts], 1)
