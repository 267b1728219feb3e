"""Several cells of a family as one model: every token is drawn from the weighted mean of their logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from cells.decoder import Decoder
from cells.errors import CelloquyError, UsageError
from cells.model import LanguageModel
from cells.state import State
from checkpoints.loading import Loaded


def is_mixture(name: str) -> bool:
    """Whether a cell's name asks for a mixture: ``lstm+gru*0.5``."""
    return "+" in name or "*" in name


def parse_mixture(text: str) -> list[tuple[str, float]]:
    """Cells and weights of ``lstm+gru*0.5``; a weight is 1 unless given. UsageError for anything else."""
    parts: list[tuple[str, float]] = []
    for part in text.split("+"):
        cell, star, weight = part.strip().partition("*")
        try:
            number = float(weight) if star else 1.0
        except ValueError:
            number = -1.0
        if not cell.strip() or not 0 < number < float("inf"):
            raise UsageError(f"a mixture is cells with weights above 0, like lstm+gru*0.5, not {text!r}")
        parts.append((cell.strip(), number))
    if len({cell for cell, _ in parts}) < len(parts):
        raise UsageError(f"a mixture names each cell once, not {text!r}")
    return parts


class MixedDecoder:
    """Steps several decoders together. Its state is theirs, one after another, so that it is kept and sliced alike."""

    def __init__(self, decoders: Sequence[Decoder], weights: Sequence[float]) -> None:
        self._decoders = list(decoders)
        total = sum(weights)
        self._weights = [weight / total for weight in weights]
        self._layers = [len(decoder.initial_state(1)) for decoder in decoders]

    def _split(self, state: State) -> list[State]:
        parts, start = [], 0
        for layers in self._layers:
            parts.append(state[start : start + layers])
            start += layers
        return parts

    def _mixed(self, run: Callable[[Decoder, State], tuple[Tensor, State]], state: State) -> tuple[Tensor, State]:
        done = [run(decoder, part) for decoder, part in zip(self._decoders, self._split(state), strict=True)]
        logits = sum(weight * logits for weight, (logits, _) in zip(self._weights, done, strict=True))
        return cast(Tensor, logits), [layer for _, part in done for layer in part]

    def initial_state(self, batch: int) -> State:
        """The states of all before any token."""
        return [layer for decoder in self._decoders for layer in decoder.initial_state(batch)]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`cells.decoder.Decoder.step`."""
        return self._mixed(lambda decoder, part: decoder.step(tokens, part), state)

    def step_one(self, token: int, state: State) -> tuple[Tensor, State]:
        """As :meth:`cells.decoder.Decoder.step_one`."""
        return self._mixed(lambda decoder, part: decoder.step_one(token, part), state)

    def run(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`cells.decoder.Decoder.run`."""
        return self._mixed(lambda decoder, part: decoder.run(tokens, part), state)

    def read(self, tokens: Tensor, state: State) -> State:
        """As :meth:`cells.decoder.Decoder.read`."""
        parts = zip(self._decoders, self._split(state), strict=True)
        return [layer for decoder, part in parts for layer in decoder.read(tokens, part)]


class MixedModel:
    """What a writer needs of a model: the decoder, and where its numbers lie."""

    def __init__(self, models: Sequence[LanguageModel], weights: Sequence[float]) -> None:
        self._models = list(models)
        self._weights = list(weights)
        self.readout = models[0].readout

    def decoder(self) -> MixedDecoder:
        """A decoder of the present weights."""
        return MixedDecoder([model.decoder() for model in self._models], self._weights)

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor of every model: by them, and the weights, a mixture is known again."""
        tensors = {"weights": torch.tensor(self._weights)}
        for number, model in enumerate(self._models):
            tensors |= {f"{number}.{name}": tensor for name, tensor in model.state_dict().items()}
        return tensors


@dataclass(frozen=True)
class Mixture(Loaded):
    """A mixture as a loaded checkpoint. It has no file of its own: ``path`` is where one would lie.

    ``member`` is the file of its first cell, by which its family is found.
    """

    cell_label: str = ""
    member: Path = Path()

    @property
    def name(self) -> str:
        """``family.lstm+gru*0.5``."""
        return f"{self.header.family}.{self.cell_label}"


def mix(text: str, load: Callable[[str], Loaded]) -> Mixture:
    """The mixture that ``text`` names; ``load`` gives the cells of the family. They must share a vocabulary."""
    parts = parse_mixture(text)
    loaded = [load(cell) for cell, _ in parts]
    first = loaded[0]
    for other in loaded[1:]:
        if other.tokenizer.to_json() != first.tokenizer.to_json():
            raise CelloquyError(f"{first.name} and {other.name} have different vocabularies and cannot be mixed")
    label = "+".join(cell if weight == 1 else f"{cell}*{weight:g}" for cell, weight in parts)
    model: Any = MixedModel([one.model for one in loaded], [weight for _, weight in parts])
    family = first.path.name.removesuffix(".safetensors").rpartition(".")[0] or first.header.family
    header = dataclasses.replace(first.header, family=family)
    path = first.path.with_name(f"{family}.{label}.safetensors")
    return Mixture(path, header, first.tokenizer, first.cell, model, label, first.path)
