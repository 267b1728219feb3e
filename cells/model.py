"""The language model: embedding, recurrent layers, readout. Tokens are time-major, [T, B]."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from cells.kernels import builtin_kernel
from cells.labels import LabelVectors
from cells.layer import Kernel, KernelFinder, Layer
from cells.state import LayerState, State

if TYPE_CHECKING:
    from cells.decoder import Decoder

Dropout = Callable[[Tensor, float, bool], Tensor]
"""(x [T, B, H], share, training) -> x with that share dropped and the rest scaled up."""

BLOCK = 128
"""Steps whose projected input is in memory at once: it is four times an LSTM's output, and so is its gradient."""

NORMS = ("none", "layer")
LARGEST = 1 << 24
"""No size of a model may exceed this; a header that asks for more is damaged or hostile."""


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a language model; ``embedding_size`` 0 means ``hidden_size``.

    With ``labels`` above 0 so many of them steer it, each by a vector of ``label_size``: see ``cells.labels``.
    """

    vocabulary_size: int
    hidden_size: int = 512
    num_layers: int = 1
    embedding_size: int = 0
    dropout: float = 0.0
    residual: bool = False
    norm: str = "none"
    tie: bool = False
    unknown_id: int | None = None
    labels: int = 0
    label_size: int = 0

    def __post_init__(self) -> None:
        check_sizes(self, "residual", "tie")
        if self.tie and self.embedding != self.hidden_size:
            raise UsageError(
                f"tied weights need equal sizes, not {self.embedding} and {self.hidden_size}: leave embed at 0"
            )
        check_whole("labels", self.labels, 0)
        check_whole("label_size", self.label_size, 1 if self.labels else 0)

    @property
    def embedding(self) -> int:
        """The size of a token's embedding, in effect."""
        return self.embedding_size or self.hidden_size

    def to_json(self) -> dict[str, Any]:
        """The sizes as a dict of JSON scalars."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelConfig:
        """The inverse of :meth:`to_json`; raises CelloquyError for anything that is not a model's sizes."""
        if not isinstance(data, Mapping):
            raise CelloquyError("the model's sizes are not a JSON object")
        known = {field.name for field in dataclasses.fields(cls)}
        strange = sorted(str(key) for key in data.keys() - known)
        if strange or "vocabulary_size" not in data:
            raise CelloquyError(f"the model's sizes are not understood: {', '.join(strange) or 'no vocabulary_size'}")
        return cls(**data)


def check_whole(name: str, value: Any, low: int, high: int = LARGEST) -> None:
    """UsageError unless ``value`` is a whole number in this range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def check_sizes(config: Any, *flags: str) -> None:
    """UsageError for what no model can have; ``flags`` are those of its sizes that are true or false."""
    for name in ("vocabulary_size", "hidden_size", "num_layers"):
        check_whole(name, getattr(config, name), 1)
    check_whole("embedding_size", config.embedding_size, 0)
    dropout = config.dropout
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise UsageError(f"dropout must be at least 0 and below 1, not {dropout!r}")
    if not all(isinstance(getattr(config, flag), bool) for flag in flags):
        raise UsageError(f"{' and '.join(flags)} are true or false")
    if config.norm not in NORMS:
        raise UsageError(f"norm must be {' or '.join(NORMS)}, not {config.norm!r}")
    if config.unknown_id is not None:
        check_whole("unknown_id", config.unknown_id, 0, config.vocabulary_size - 1)


class Block(nn.Module):
    """A recurrent layer with what stands around it: normalisation before, dropout and the residual path after."""

    def __init__(self, cell: Cell, input_size: int, config: ModelConfig, joined: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_size) if config.norm == "layer" else None
        self.recurrent = Layer(cell, input_size + joined, config.hidden_size)
        self.dropout = config.dropout
        self.drop: Dropout = F.dropout
        self.residual = config.residual and input_size == config.hidden_size

    def before(self, x: Tensor) -> Tensor:
        """What the recurrent layer is given."""
        return x if self.norm is None else self.norm(x)

    def after(self, y: Tensor, x: Tensor | None) -> Tensor:
        """What the next layer is given, from the recurrent output ``y`` and the block's input ``x``."""
        y = self.drop(y, self.dropout, self.training)
        return y if x is None else x + y


def token_embedding(vocabulary_size: int, size: int) -> nn.Embedding:
    """``nn.Embedding``, but free on the meta device, where its normal numbers would import all of torch._dynamo."""
    weight = torch.empty(vocabulary_size, size)
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(vocabulary_size, size, _weight=weight)


class RecurrentModel(nn.Module):
    """What all models of recurrent layers of one cell have: precision, kernels, and the number of their parameters."""

    def __init__(self, cell: Cell, kernels: KernelFinder | None) -> None:
        super().__init__()
        self.cell = cell
        self.kernels = kernels
        self._compute_dtype: torch.dtype | None = None
        self.notice: Callable[[str], None] = _to_nobody

    @property
    def compute_dtype(self) -> torch.dtype | None:
        """The dtype of matrix products (None: the parameters'); everything else keeps the parameters' dtype."""
        return self._compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype | None) -> None:
        self._compute_dtype = dtype
        for layer in self.recurrent_layers:
            layer.compute_dtype = dtype

    @property
    def recurrent_layers(self) -> list[Layer]:
        """The recurrent layers, from the input up, forwards before backwards."""
        return [module for module in self.modules() if isinstance(module, Layer)]

    @property
    def parameter_count(self) -> int:
        """The number of learned numbers; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def kernel_for(self, layer: Layer) -> Kernel | None:
        """The fused kernel for a layer in its present mode, if the finder gives one."""
        if self.kernels is None:
            return None
        training = self.training and torch.is_grad_enabled()
        return self.kernels(self.cell, layer.W.device, layer.product_dtype, training)


class LanguageModel(RecurrentModel):
    """p(next token | tokens so far) by a stack of recurrent layers of one cell.

    Pre-normalisation (``norm="layer"``) and residual paths follow Ba, Kiros and Hinton 2016 and He et al. 2015; tied
    input and output embeddings Press and Wolf 2017; dropout acts on each layer's output, never inside the recurrence
    (Zaremba, Sutskever and Vinyals 2014).
    """

    def __init__(self, cell: Cell, config: ModelConfig, *, kernels: KernelFinder | None = builtin_kernel) -> None:
        super().__init__(cell, kernels)
        self.config = config
        sizes = [config.embedding] + [config.hidden_size] * (config.num_layers - 1)
        self.embedding = token_embedding(config.vocabulary_size, config.embedding)
        joined = [config.label_size] + [0] * (config.num_layers - 1)
        self.blocks = nn.ModuleList(Block(cell, size, config, more) for size, more in zip(sizes, joined, strict=True))
        self.labels = LabelVectors(config.labels, config.label_size) if config.labels else None
        for layer in self.recurrent_layers:
            layer.whole = kernels is not None
        self.final_norm = nn.LayerNorm(config.hidden_size) if config.norm == "layer" else None
        self.readout = nn.Linear(config.hidden_size, config.vocabulary_size)
        if config.tie:
            self.readout.weight = self.embedding.weight

    def initial_state(self, batch: int) -> State:
        """The state before any token, for ``batch`` rows; where labels steer, that there is none is its last entry."""
        state = [layer.initial_state(batch) for layer in self.recurrent_layers]
        return state if self.labels is None else [*state, self.labels.initial_state(batch)]

    def plain(self, tokens: Tensor) -> Tensor:
        """Tokens without the labels that they may bring with them."""
        return tokens if self.labels is None else tokens % self.config.vocabulary_size

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits [T, B, V] of the token after each of ``tokens`` [T, B], and the final state (not detached)."""
        hidden, state = self.hidden(tokens, state)
        return self.read(hidden), state

    def hidden(
        self, tokens: Tensor, state: State | None = None, outputs: list[Tensor] | None = None
    ) -> tuple[Tensor, State]:
        """What the readout is given, [T, B, H], and the final state.

        A list as ``outputs`` receives each layer's output [T, B, H] as the recurrence made it, from the input up.
        """
        if state is None:
            state = self.initial_state(tokens.shape[1])
        x: Tensor | None = None
        after: State = []
        label = None
        if self.labels is not None:
            label = self.labels(tokens // self.config.vocabulary_size, state[-1])  # [T, B, L]
            tokens = self.plain(tokens)
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            given = tokens if number == 0 else None
            y, layer_state = self._run_block(block, given, label, x, state[number])
            label = None
            if outputs is not None:
                outputs.append(y)
            if block.residual and x is None:
                x = self.embedding(tokens)
            x = block.after(y, x if block.residual else None)
            after.append(layer_state)
        assert x is not None
        return x, after if self.labels is None else [*after, state[-1]]

    def _run_block(
        self, block: Block, tokens: Tensor | None, label: Tensor | None, x: Tensor | None, state: LayerState
    ) -> tuple[Tensor, LayerState]:
        """One layer by its kernel if there is one; else by the loop, the first layer's input by the token table."""
        layer = block.recurrent
        kernel = self.kernel_for(layer)
        if tokens is not None and (kernel is not None or tokens.numel() < self.config.vocabulary_size):
            x = self.embedding(tokens)
        if x is not None:
            x = block.before(x)
            x = x if label is None else torch.cat([x, label], -1)
            return layer(x, state) if kernel is None else kernel(layer, x, state)
        assert tokens is not None
        size = self.config.embedding
        table = layer.project(block.before(self.embedding.weight), layer.W[:, :size])  # [V, G H]: one row a token
        if label is None and (done := layer.run_tokens(table, tokens, state)) is not None:
            return done
        if self.cell.affine or len(layer.gates) == 1:  # nothing to be saved, or scanned in blocks of its own
            return layer.run(_entering(table, tokens, layer, label), state)
        outputs = []
        for start in range(0, len(tokens), BLOCK):
            part = slice(start, start + BLOCK)
            here = None if label is None else label[part]
            y, state = layer.run(_entering(table, tokens[part], layer, here), state)
            outputs.append(y)
        return (torch.cat(outputs) if len(outputs) > 1 else outputs[0]), state

    def read(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] from the last layer's output, in the parameters' dtype."""
        if self.final_norm is not None:
            hidden = self.final_norm(hidden)
        dtype = self._compute_dtype
        if dtype is None or dtype == hidden.dtype:
            return F.linear(hidden, self.readout.weight, self.readout.bias)
        return F.linear(hidden.to(dtype), self.readout.weight.to(dtype)).to(hidden.dtype) + self.readout.bias

    def decoder(self) -> Decoder:
        """A reader of one token after another with the present weights folded for speed; see ``cells.decoder``."""
        if self.readout.bias.device.type == "cuda":
            from cells.graphs import GraphedDecoder

            return GraphedDecoder(self)
        from cells.decoder import Decoder

        return Decoder(self)


def _to_nobody(message: str) -> None:
    """Whoever runs a model may give it a ``notice`` that tells a person."""


def _entering(table: Tensor, tokens: Tensor, layer: Layer, label: Tensor | None) -> Tensor:
    """What enters a layer [T, B, G H]: each token's row of the table, and what its label [T, B, L] adds."""
    projected = F.embedding(tokens, table)
    return projected if label is None else projected + F.linear(label, layer.W[:, -label.shape[-1] :])
