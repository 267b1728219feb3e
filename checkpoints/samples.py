"""Sample texts on the way of a training run: temperature 0.8, nothing else. The generator proper is in ``repl``."""

from __future__ import annotations

import torch

from cells.model import LanguageModel
from checkpoints.divergence import Diverged
from checkpoints.tokenizers import Tokenizer

TEMPERATURE = 0.8
LENGTH = 200


def sample_text(model: LanguageModel, tokenizer: Tokenizer, prompt: str, seed: int, length: int = LENGTH) -> str:
    """A continuation of ``prompt`` by the present weights, without the prompt; the same seed gives the same text.

    An empty prompt reads as a line break, or as the vocabulary's first entry if there is none. The unknown token is
    never drawn. The global random state is left alone. Raises Diverged if the weights are too bad for that.
    """
    draw = torch.Generator().manual_seed(seed)
    decoder = model.decoder()
    device = model.readout.bias.device
    tokens = tokenizer.encode(prompt or "\n")
    if not prompt and tokens == [tokenizer.unknown_id]:
        tokens = [1]
    logits, state = decoder.run(torch.tensor(tokens, device=device)[:, None], decoder.initial_state(1))
    row = logits[-1, 0]
    text, pieces = tokenizer.stream_decoder(), []
    for _ in range(length):
        weights = row.double().cpu() / TEMPERATURE
        if not bool(torch.isfinite(weights).all()):
            raise Diverged("the model can no longer write: what it computes is not finite")
        if tokenizer.unknown_id is not None:
            weights[tokenizer.unknown_id] = -torch.inf
        token = int(torch.multinomial(torch.softmax(weights, 0), 1, generator=draw))
        pieces.append(text.push(token))
        logits, state = decoder.step(torch.tensor([token], device=device), state)
        row = logits[0]
    return "".join(pieces) + text.flush()
