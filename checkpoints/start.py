"""Starting from the weights of another checkpoint (``--from``): its vocabulary, and what the new text adds to it."""

from __future__ import annotations

import torch

from cells.model import LanguageModel
from checkpoints.loading import Loaded
from checkpoints.tokenizers import CharTokenizer, Tokenizer


def widened_tokenizer(tokenizer: Tokenizer, text: str) -> Tokenizer:
    """The tokenizer with the characters of ``text`` that it lacks."""
    if isinstance(tokenizer, CharTokenizer):
        return CharTokenizer(set(tokenizer.characters) | set(text))
    return tokenizer


@torch.no_grad()
def start_from(model: LanguageModel, tokenizer: Tokenizer, start: Loaded) -> None:
    """Give ``model`` the weights of ``start``; the rows of characters that are new to it stay as initialised."""
    old, new = start.tokenizer, tokenizer
    if isinstance(old, CharTokenizer) and isinstance(new, CharTokenizer):
        rows = torch.tensor([0, *new.encode(old.characters)])
    else:
        rows = torch.arange(old.vocabulary_size)
    by_token = {"embedding.weight", "readout.weight", "readout.bias"}
    weights = dict(start.model.named_parameters())
    for name, parameter in model.named_parameters():
        if name in by_token:
            parameter[rows] = weights[name]
        else:
            parameter.copy_(weights[name])
