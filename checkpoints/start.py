"""Starting: from the weights of another checkpoint (``--from``), and some rows of a batch anew (``--reset``)."""

from __future__ import annotations

import torch

from cells.model import LanguageModel
from cells.state import State
from checkpoints.loading import Loaded
from checkpoints.normalization import NormalizingTokenizer
from checkpoints.tokenizers import CharTokenizer, Tokenizer


def widened_tokenizer(tokenizer: Tokenizer, text: str) -> Tokenizer:
    """The tokenizer with the characters of ``text`` that it lacks."""
    if isinstance(tokenizer, CharTokenizer):
        return CharTokenizer(set(tokenizer.characters) | set(text))
    if isinstance(tokenizer, NormalizingTokenizer):
        inner = widened_tokenizer(tokenizer.inner, tokenizer.normalized(text))
        return NormalizingTokenizer(inner, tokenizer.form, tokenizer.lowercase)
    return tokenizer


def _within(tokenizer: Tokenizer) -> Tokenizer:
    return tokenizer.inner if isinstance(tokenizer, NormalizingTokenizer) else tokenizer


@torch.no_grad()
def start_from(model: LanguageModel, tokenizer: Tokenizer, start: Loaded) -> None:
    """Give ``model`` the weights of ``start``; the rows of characters that are new to it stay as initialised."""
    old, new = _within(start.tokenizer), _within(tokenizer)
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


def some_anew(state: State, fresh: State, share: float) -> State:
    """The state with a share of its rows, drawn at random, as before any token: as in ``fresh``.

    A state that is always carried makes the beginning of a text a place where the model has never been; a plain RNN
    then falls into states that it has never seen, and writes nonsense after a short prompt.
    """
    if share in (0.0, 1.0):
        return fresh if share else state
    some = next(iter(state[0].values()))
    anew = (torch.rand(some.shape[0]) < share).to(some.device).unsqueeze(-1)
    return [
        {name: torch.where(anew, fresh[number][name], value) for name, value in layer.items()}
        for number, layer in enumerate(state)
    ]
