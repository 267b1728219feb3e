"""Decoding: one token after another, with everything that does not change folded beforehand. No autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.layer import call_step
from cells.model import Block, LanguageModel
from cells.state import LayerState, State


class _LayerStep:
    """One layer's step: parameters, recurrent products and the state names, prepared once."""

    def __init__(self, block: Block) -> None:
        layer = block.recurrent
        self.cell = layer.cell
        self.gates = layer.gates
        self.shape = (len(layer.gates), layer.hidden_size)
        self.out = output_name(layer.cell)
        self.p = named({name: value.detach() for name, value in layer.p.items()})
        self.R = named({name: _product(layer.R[name].detach(), gates) for name, gates in layer.recurrent_gates.items()})

    def __call__(self, projected: Tensor, state: LayerState) -> LayerState:
        """The new state from a projected input [B, G H]."""
        x = GateBundle(projected.view(-1, *self.shape), self.gates)
        return call_step(self.cell, x, state, self.R, self.p)


def _product(weight: Tensor, names: tuple[str, ...]) -> Any:
    shape = (-1, len(names), weight.shape[1])

    def multiply(rows: Tensor) -> GateBundle:
        return GateBundle(F.linear(rows, weight).view(shape), names)

    return multiply


class Decoder:
    """Runs a model's present weights forward. Later changes of the weights are not seen: make another decoder.

    The first layer's input projection is a table with a row for each token. Arithmetic is in the parameters' dtype.
    States are never changed in place, so keeping one is enough to come back to it exactly.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.config = model.config
        with torch.no_grad():
            blocks = [block for block in model.blocks if isinstance(block, Block)]
            self._blocks = blocks
            self._steps = [_LayerStep(block) for block in blocks]
            first = blocks[0]
            weight = model.embedding.weight
            self._embedding = weight.detach() if first.residual else None
            self._table = F.linear(first.before(weight), first.recurrent.W, first.recurrent.b)

    def initial_state(self, batch: int) -> State:
        """The state before any token."""
        with torch.no_grad():
            return self.model.initial_state(batch)

    @torch.no_grad()
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [B, V] after reading one token for each row, ``tokens`` [B], and the new state."""
        after: State = []
        x: Tensor | None = None
        for number, (block, step) in enumerate(zip(self._blocks, self._steps, strict=True)):
            if x is None:
                projected = self._table.index_select(0, tokens)
                x = None if self._embedding is None else self._embedding.index_select(0, tokens)
            else:
                projected = F.linear(block.before(x), block.recurrent.W, block.recurrent.b)
            new = step(projected, state[number])
            after.append(new)
            y = new[step.out]
            x = x + y if block.residual and x is not None else y
        assert x is not None
        norm = self.model.final_norm
        readout = self.model.readout
        return F.linear(x if norm is None else norm(x), readout.weight, readout.bias), after

    @torch.no_grad()
    def run(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [T, B, V] over whole sequences ``tokens`` [T, B], and the final state: for prompts and scoring."""
        was_training, dtype = self.model.training, self.model.compute_dtype
        self.model.eval()
        self.model.compute_dtype = None
        try:
            logits, after = self.model(tokens, state)
            return logits, after
        finally:
            self.model.compute_dtype = dtype
            self.model.train(was_training)
