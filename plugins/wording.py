"""Samplers on particular words: texts that are never written, and tokens made likelier or less likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cells.errors import CelloquyError
from plugins.sampler import Sampler, Stream
from plugins.vocabulary import Vocabulary
from plugins.wording_options import BANNED, LOGIT_BIAS, bias_of


class Banned(Sampler):
    """Bans every token that would complete a banned text, whatever tokens it is made of; the text before counts too."""

    name = "banned"
    options = BANNED
    order = 30

    def __init__(self) -> None:
        self._endings: dict[tuple[Vocabulary, str], _Endings] = {}

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Logits [B, V] with minus infinity where a banned text would be complete."""
        logits = logits.clone()
        for row, stream in zip(logits, streams, strict=True):
            vocabulary = _vocabulary(stream)
            for text in filter(None, values["banned"]):
                row[self._of(vocabulary, text).completing(stream)] = float("-inf")
        if bool((logits.max(-1).values == float("-inf")).any()):
            raise CelloquyError("every token that could come now would complete a banned text")
        return logits

    def _of(self, vocabulary: Vocabulary, text: str) -> _Endings:
        key = (vocabulary, text)
        if key not in self._endings:
            self._endings[key] = _Endings(vocabulary, text.encode("utf-8", "surrogatepass"))
        return self._endings[key]


class _Endings:
    """The tokens that complete one banned text, by how much of it stands already."""

    def __init__(self, vocabulary: Vocabulary, text: bytes) -> None:
        self.text = text
        tokens = [*enumerate(vocabulary.encoded)]
        self._whole = [id for id, token in tokens if text in token]
        self._rest = {
            begun: [id for id, token in tokens if token.startswith(text[begun:])] for begun in range(1, len(text))
        }

    def completing(self, stream: Stream) -> list[int]:
        """The tokens that complete the text after what stands in the stream."""
        tail = _vocabulary(stream).tail(stream.history, len(self.text) - 1)
        banned = list(self._whole)
        for begun, tokens in self._rest.items():
            if tokens and tail.endswith(self.text[:begun]):
                banned += tokens
        return banned


class LogitBias(Sampler):
    """Adds a number to the logits of tokens, before everything else."""

    name = "logit-bias"
    options = LOGIT_BIAS
    order = 20

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """Logits [B, V] with the biases added."""
        logits = logits.clone()
        for given in filter(None, values["logit_bias"]):
            text, bias = bias_of(given)
            for row, stream in zip(logits, streams, strict=True):
                token = _vocabulary(stream).token(text)
                if token is None:
                    raise CelloquyError(f"{text!r} is not one token of this checkpoint")
                row[token] += bias
        return logits


def _vocabulary(stream: Stream) -> Vocabulary:
    if stream.vocabulary is None:
        raise CelloquyError("it needs to know what the tokens read as")
    return stream.vocabulary
