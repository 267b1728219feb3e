"""The text classifier: embedding, recurrent layers in one or both directions, readout of a text's summary.

Texts of different lengths stand side by side, [T, B] with PADDING after their ends. Padding is never read into a state
that counts: each direction reads every text from its own beginning (the backward one from its last token), and what
comes after the end is masked. So a text gets what it would get alone, for any cell, by the loop, the scan or a kernel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from cells.kernels import builtin_kernel
from cells.layer import KernelFinder, Layer
from cells.model import Dropout, RecurrentModel, check_sizes, check_whole, token_embedding
from cells.state import State

POOLS = ("last", "max", "mean")
PADDING = -1
"""What stands for a token after a text's end in a batch."""


@dataclass(frozen=True)
class ClassifierConfig:
    """The sizes of a classifier of ``classes`` labels; ``embedding_size`` 0 means ``hidden_size``.

    ``pool`` is how a text becomes one vector: ``last``, the final states of the last layer's directions; ``max`` or
    ``mean``, of that layer's outputs over the text.
    """

    vocabulary_size: int
    classes: int
    hidden_size: int = 128
    num_layers: int = 1
    embedding_size: int = 0
    bidirectional: bool = False
    dropout: float = 0.0
    residual: bool = False
    norm: str = "none"
    pool: str = "last"
    unknown_id: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self, "residual", "bidirectional")
        check_whole("classes", self.classes, 2)
        if self.pool not in POOLS:
            raise UsageError(f"pool must be {' or '.join(POOLS)}, not {self.pool!r}")

    @property
    def embedding(self) -> int:
        """The size of a token's embedding, in effect."""
        return self.embedding_size or self.hidden_size

    @property
    def labels(self) -> int:
        """How many labels the model knows: it tells ``classes`` of them."""
        return self.classes

    @property
    def directions(self) -> int:
        """1, or 2 where every layer also reads backwards."""
        return 2 if self.bidirectional else 1

    @property
    def tie(self) -> bool:
        """Never: the readout has a row for each label, not for each token."""
        return False

    @property
    def summary_size(self) -> int:
        """The size of what the readout is given: an output of each direction."""
        return self.hidden_size * self.directions

    def to_json(self) -> dict[str, Any]:
        """The sizes as a dict of JSON scalars."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClassifierConfig:
        """The inverse of :meth:`to_json`; raises CelloquyError for anything that is not a classifier's sizes."""
        known = {field.name for field in dataclasses.fields(cls)}
        strange = sorted(str(key) for key in data.keys() - known)
        missing = sorted({"vocabulary_size", "classes"} - data.keys())
        if strange or missing:
            raise CelloquyError(f"the classifier's sizes are not understood: {', '.join(strange or missing)}")
        return cls(**data)


class ClassifierBlock(nn.Module):
    """A recurrent layer in one or two directions, with normalisation before, dropout and the residual path after."""

    def __init__(self, cell: Cell, input_size: int, config: ClassifierConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_size) if config.norm == "layer" else None
        self.directions = nn.ModuleList(Layer(cell, input_size, config.hidden_size) for _ in range(config.directions))
        self.residual = config.residual and input_size == config.summary_size


class TextClassifier(RecurrentModel):
    """p(label | text) by a stack of recurrent layers of one cell, each reading the text forwards and, if asked, back.

    Bidirectional layers as in Schuster and Paliwal 1997 and Graves and Schmidhuber 2005: the next layer is given both
    directions' outputs at each token. Dropout acts on the embedding, between layers and before the readout.
    """

    def __init__(self, cell: Cell, config: ClassifierConfig, *, kernels: KernelFinder | None = builtin_kernel) -> None:
        super().__init__(cell, kernels)
        self.config = config
        sizes = [config.embedding] + [config.summary_size] * (config.num_layers - 1)
        self.embedding = token_embedding(config.vocabulary_size, config.embedding)
        self.blocks = nn.ModuleList(ClassifierBlock(cell, size, config) for size in sizes)
        self.readout = nn.Linear(config.summary_size, config.classes)
        self.drop: Dropout = F.dropout

    def initial_state(self, batch: int) -> State:
        """Nothing: a text is read from its beginning, so that no state is carried from batch to batch."""
        return []

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [B, C] of texts ``tokens`` [T, B]; each has at least one token, and PADDING after its last."""
        summary = F.dropout(self.summary(tokens), self.config.dropout, self.training)
        logits: Tensor = self.readout(summary)
        return logits

    def summary(self, tokens: Tensor) -> Tensor:
        """A vector for each text, [B, directions * H]."""
        lengths = (tokens >= 0).sum(0)
        turned = turned_places(len(tokens), lengths)
        x = self._drop(self.embedding(tokens.clamp(min=0)))
        ends: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, ClassifierBlock)
            given = x if block.norm is None else block.norm(x)
            outputs = []
            for backwards, layer in enumerate(block.directions):
                assert isinstance(layer, Layer)
                y = self._run(layer, take_steps(given, turned) if backwards else given)
                if number == len(self.blocks) - 1 and self.config.pool == "last":
                    ends.append(take_steps(y, (lengths - 1).unsqueeze(0))[0])
                else:
                    outputs.append(take_steps(y, turned) if backwards else y)
            if outputs:
                y = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
                y = self._drop(y) if number < len(self.blocks) - 1 else y
                x = x + y if block.residual else y
        return torch.cat(ends, -1) if ends else self._pooled(x, lengths)

    def _run(self, layer: Layer, x: Tensor) -> Tensor:
        """The outputs [T, B, H] of one direction, by its kernel if there is one."""
        kernel = self.kernel_for(layer)
        y, _ = kernel(layer, x, layer.initial_state(x.shape[1])) if kernel else layer(x)
        return y

    def _pooled(self, y: Tensor, lengths: Tensor) -> Tensor:
        beyond = (torch.arange(len(y), device=y.device).unsqueeze(1) >= lengths).unsqueeze(-1)
        if self.config.pool == "max":
            return y.masked_fill(beyond, -math.inf).amax(0)
        return y.masked_fill(beyond, 0.0).sum(0) / lengths.unsqueeze(-1)

    def _drop(self, x: Tensor) -> Tensor:
        return self.drop(x, self.config.dropout, self.training)


def turned_places(steps: int, lengths: Tensor) -> Tensor:
    """Places [T, B] that turn each text of a batch round within its own length; padding stays where it is."""
    places = torch.arange(steps, device=lengths.device).unsqueeze(1).expand(steps, len(lengths))
    return torch.where(places < lengths, lengths - 1 - places, places)


def take_steps(x: Tensor, places: Tensor) -> Tensor:
    """``x`` [T, B, I] at the steps ``places`` [S, B] of each row: [S, B, I]."""
    return x.gather(0, places.unsqueeze(-1).expand(*places.shape, x.shape[-1]))
