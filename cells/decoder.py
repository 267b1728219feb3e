"""Decoding: one token after another, with everything that does not change folded beforehand. No autograd."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.layer import Layer, call_step
from cells.model import Block, LanguageModel
from cells.packed import Product, fixed_product
from cells.state import LayerState, State

ROWS = 64
"""Products are packed for this many rows whatever the batch, so that a row's numbers do not depend on its company.

With a hidden size that is a multiple of 64 they do not, to the last bit; with another, the ends of elementwise loops
take torch's scalar path, which may differ by an ulp between one row and many."""


class _LayerStep:
    """One layer's step: parameters, recurrent products and the state names, prepared once."""

    def __init__(self, block: Block) -> None:
        layer = block.recurrent
        self.block = block
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
    product = fixed_product(weight, ROWS)

    def multiply(rows: Tensor) -> GateBundle:
        return GateBundle(product(rows).view(shape), names)

    return multiply


def _projection(layer: Layer) -> Product:
    return fixed_product(layer.W, ROWS, layer.b)


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
            self._first = _LayerStep(blocks[0])
            self._rest = [(_LayerStep(block), _projection(block.recurrent)) for block in blocks[1:]]
            self._readout = fixed_product(model.readout.weight, ROWS, model.readout.bias)
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
        first = self._first(self._table.index_select(0, tokens), state[0])
        after: State = [first]
        x = first[self._first.out]
        if self._embedding is not None:
            x = self._embedding.index_select(0, tokens) + x
        for number, (step, project) in enumerate(self._rest, 1):
            new = step(project(step.block.before(x)), state[number])
            after.append(new)
            x = x + new[step.out] if step.block.residual else new[step.out]
        norm = self.model.final_norm
        return self._readout(x if norm is None else norm(x)), after

    @torch.no_grad()
    def run(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [T, B, V] over whole sequences ``tokens`` [T, B], and the final state: for scoring."""
        with self._inference():
            logits, after = self.model(tokens, state)
        return logits, after

    @torch.no_grad()
    def read(self, tokens: Tensor, state: State) -> State:
        """The state after whole sequences ``tokens`` [T, B], without logits: for prompts and transcripts."""
        with self._inference():
            return self.model.hidden(tokens, state)[1]

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        """The model in evaluation mode and full precision inside the block."""
        was_training, dtype = self.model.training, self.model.compute_dtype
        self.model.eval()
        self.model.compute_dtype = None
        try:
            yield
        finally:
            self.model.compute_dtype = dtype
            self.model.train(was_training)
