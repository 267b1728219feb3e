"""Many rows of tokens read side by side with a model's present weights folded: for texts that are there already."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.model import Block, LanguageModel
from cells.packed import fixed_product
from cells.row_loops import PACKED_FOR, Loop, row_loop
from cells.row_steps import RowStep
from cells.state import State

PROJECTED_AT_ONCE = 1 << 18
"""Numbers of projected input that are made at once: as many as stay in a core's cache until they are used."""

LOGITS_FOR = 1024
"""Places whose logits are made at once, about: the readout is packed for them."""

LONG = 4096
"""Tokens from which on the state after a text is found sooner by rows (``checkpoints.replay``) than step by step."""

LONG_FOR_KERNELS = 16384
"""The same for a cell whose fused kernel reads a single row two to four times faster than its steps."""


def worth_rows(model: object, tokens: int) -> bool:
    """Whether the state after so many tokens is to be found by rows; an affine cell reads in parallel by itself."""
    if tokens < LONG or not isinstance(model, LanguageModel):
        return False
    if model.readout.bias.device.type != "cpu" or model.cell.affine:
        return False
    return tokens >= LONG_FOR_KERNELS or model.kernel_for(model.recurrent_layers[0]) is None


class RowReader:
    """Reads rows [T, B] by the loops of ``cells.row_loops``. Later changes of the weights are not seen.

    Several threads may use one, each for rows of its own.
    """

    def __init__(self, model: LanguageModel, loops: list[tuple[Loop, RowStep]]) -> None:
        self.model = model
        self.loops = [loop for loop, _ in loops]
        blocks = [block for block in model.blocks if isinstance(block, Block)]
        self.blocks = blocks
        weight, bias = _projection(blocks[0], loops[0][1])
        size = model.config.embedding
        embedding = model.embedding.weight.detach()
        self._embedding = embedding if blocks[0].residual else None
        self._table = F.linear(blocks[0].before(embedding), weight[:, :size], bias).detach()
        self._by_label = None if model.labels is None else weight[:, size:]
        readout = model.readout
        self._readout = fixed_product(readout.weight, LOGITS_FOR, readout.bias)
        self._upward = [
            fixed_product(weight, PACKED_FOR, bias)
            for weight, bias in (_projection(block, one[1]) for block, one in zip(blocks[1:], loops[1:], strict=True))
        ]

    @torch.no_grad()
    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """What the readout is given [T, B, H] and the state after, from ``tokens`` [T, B], dropout left out."""
        length, batch = tokens.shape
        widest = max(len(block.recurrent.gates) for block in self.blocks) * self.model.config.hidden_size
        steps = max(1, PROJECTED_AT_ONCE // (batch * widest))
        hidden = torch.empty(length, batch, self.model.config.hidden_size)
        for start in range(0, length, steps):
            part = slice(start, start + steps)
            state = self._read(tokens[part], state, hidden[part])
        return hidden, state

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of what the readout is given [..., H]."""
        if self.model.final_norm is not None:
            hidden = self.model.final_norm(hidden)
        return self._readout(hidden.flatten(0, -2)).view(*hidden.shape[:-1], -1)

    def _read(self, tokens: Tensor, state: State, hidden: Tensor) -> State:
        """A few steps through all layers, whose outputs go into ``hidden``."""
        model, after = self.model, []
        label = None
        if model.labels is not None and self._by_label is not None:
            label = F.linear(model.labels(tokens // model.config.vocabulary_size, state[-1]), self._by_label)
            tokens = model.plain(tokens)
        flat = tokens.reshape(-1)
        projected = self._table.index_select(0, flat).view(*tokens.shape, -1)
        if label is not None:
            projected += label
        x = None if self._embedding is None else self._embedding.index_select(0, flat).view(*tokens.shape, -1)
        for number, (block, loop) in enumerate(zip(self.blocks, self.loops, strict=True)):
            if number:
                assert x is not None
                projected = self._upward[number - 1](block.before(x).flatten(0, 1)).view(*tokens.shape, -1)
            last = number + 1 == len(self.blocks)
            y = hidden if last and not block.residual else torch.empty_like(hidden)
            after.append(loop(projected.unbind(0), state[number], y))
            x = x + y if block.residual and x is not None else y
        if x is not hidden and x is not None:
            hidden.copy_(x)
        return after if model.labels is None else [*after, state[-1]]


def _projection(block: Block, in_rows: RowStep) -> tuple[Tensor, Tensor]:
    """Input weights [G H, I] and bias [G H] as the layer's loop wants them."""
    return in_rows.fold(block.recurrent.W), in_rows.fold(block.recurrent.b)


@torch.no_grad()
def row_reader(model: LanguageModel) -> RowReader | None:
    """A reader of the present weights where all layers have such a loop; None otherwise: ``LanguageModel.hidden``."""
    loops = []
    for layer in model.recurrent_layers:
        found = row_loop(layer)
        if found is None:
            return None
        loops.append(found)
    return RowReader(model, loops)
