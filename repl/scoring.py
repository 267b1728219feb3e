"""How well a checkpoint foretells a given text: the surprise of every token, read without a break."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from cells.errors import CelloquyError
from cells.model import LanguageModel
from repl.text_model import READ_AT_ONCE, OneThread, TextModel


@dataclass(frozen=True)
class Score:
    """The score of a text. ``tokens`` counts those that were scored; means are over them.

    ``surprises`` has an entry for every token of the text, in nats: None for the first, which nothing comes before,
    and for characters that the checkpoint does not know.
    """

    tokens: int
    characters: int
    nats_per_token: float
    bits_per_character: float
    perplexity: float
    surprises: tuple[float | None, ...]
    unknown: tuple[str, ...]


def score_text(model: TextModel, text: str, label: str | None = None, strength: float = 1.0) -> Score:
    """Score a text, of this label if one is given; CelloquyError if it has no token to score.

    A long one is cut into rows that are read side by side, each with the state that the row before left it: see
    ``checkpoints.evaluate``.
    """
    from checkpoints.evaluate import bits_per_character, perplexity
    from checkpoints.rows import ROW

    tokens = model.tokenizer.encode(text)
    core = model.loaded.model
    if len(tokens) > 2 * ROW and isinstance(core, LanguageModel):
        surprises = _side_by_side(model, core, tokens, label, strength)
    else:
        surprises = _in_one_row(model, tokens, label, strength)
    counted = [surprise for surprise in surprises if surprise is not None]
    if not counted:
        raise CelloquyError("the text is too short to score: it needs a character to read and a known one to foretell")
    mean = math.fsum(counted) / len(counted)
    return Score(
        len(counted),
        len(text),
        mean,
        bits_per_character(mean, len(tokens), len(text)),
        perplexity(mean),
        tuple(surprises),
        tuple(model.tokenizer.unknown_characters(text)),
    )


def _side_by_side(
    model: TextModel, core: LanguageModel, tokens: list[int], label: str | None, strength: float
) -> list[float | None]:
    from checkpoints.evaluate import token_losses

    ids = np.array(tokens)
    surprises: list[float | None] = [None, *token_losses(core, ids, model.beginning(label, strength).state).tolist()]
    for place in np.flatnonzero(np.isin(ids, model.banned)).tolist():
        surprises[place] = None
    return surprises


def _in_one_row(model: TextModel, tokens: list[int], label: str | None, strength: float) -> list[float | None]:
    surprises: list[float | None] = [None] * min(1, len(tokens))
    state = model.beginning(label, strength).state
    ids = torch.tensor(tokens, device=model.device)
    for start in range(0, len(tokens) - 1, READ_AT_ONCE):
        targets = ids[start + 1 : start + 1 + READ_AT_ONCE]
        with OneThread():
            logits, state = model.decoder.run(ids[start : start + len(targets)].unsqueeze(1), state)
            losses = -logits[:, 0].double().log_softmax(-1).gather(1, targets.unsqueeze(1)).squeeze(1)
        for token, loss in zip(targets.tolist(), losses.tolist(), strict=True):
            surprises.append(None if token in model.banned else loss)
    return surprises
