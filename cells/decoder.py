"""Decoding: one token after another, with everything that does not change folded beforehand. No autograd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.errors import CelloquyError
from cells.half import half_product
from cells.labels import LABEL
from cells.layer import Layer
from cells.model import Block, LanguageModel
from cells.packed import Product, fixed_product
from cells.row_steps import Array, RowStep, array, row_step
from cells.state import LayerState, State
from cells.stepping import call_step

ROWS = 64
"""Products are packed for this many rows whatever the batch, so that a row's numbers do not depend on its company.
Weights that 16 bits hold are packed so, for any number of rows: half of what a step reads (``cells.half``).

With a hidden size that is a multiple of 64 they do not, to the last bit; with another, the ends of elementwise loops
take torch's scalar path, which may differ by an ulp between one row and many."""


class _OutputProducts:
    """What a layer's output is multiplied with, all at once; remembered for the last output that was asked for.

    Knows nothing of the layer's step, so that packed weights are freed with the last who has them, without a circle.
    """

    def __init__(self, multiply: Any) -> None:
        self._multiply = multiply
        self._known: tuple[Tensor | None, tuple[Tensor, ...]] = (None, ())

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:
        output, parts = self._known
        if output is not rows:  # a new output; or a place that was come back to: the same to the last bit
            parts = self._multiply(rows)
            self._known = (rows, parts)
        return parts

    def part(self, place: int, gates: tuple[str, ...], hidden_size: int) -> Any:
        """``R.name`` for a matrix of the joint product: its numbers are there if ``rows`` is the last output."""
        shape = (-1, len(gates), hidden_size)
        return lambda rows: GateBundle(self(rows)[place].view(shape), gates)


class _LayerStep:
    """One layer's step by its cell, prepared once: parameters, recurrent products, and the one product of its output.

    Whatever is multiplied with the output is multiplied with it at once, as soon as it is there: the matrix that leads
    upwards (the next layer's or the readout) and the recurrent ones that the next step will ask for. A packed product
    costs 10 us however small it is, a tenth of a step at H=512; so there is one of them a layer.
    """

    def __init__(self, block: Block, upward: tuple[Tensor, Tensor] | None) -> None:
        layer = block.recurrent
        self.cell = layer.cell
        self.residual = block.residual
        self.gates = layer.gates
        self.shape = (-1, len(layer.gates), layer.hidden_size)
        self.out = output_name(layer.cell)
        self.p = named({name: value.detach() for name, value in layer.p.items()})
        self.leads_up = upward is not None
        asked = _asked_of_output(layer)
        self._of_output = _OutputProducts(_joint_product([layer.R[name] for name in asked], upward))
        products = {}
        for name, gates in layer.recurrent_gates.items():
            if name in asked:
                products[name] = self._of_output.part(asked.index(name), gates, layer.hidden_size)
            else:
                products[name] = _product(layer.R[name], gates)
        self.R = named(products)

    def __call__(self, projected: Tensor, state: LayerState) -> tuple[LayerState, Tensor | None]:
        """The new state from a projected input [B, G H]; with it what the output is upwards, if it leads there."""
        new = call_step(self.cell, GateBundle(projected.view(self.shape), self.gates), state, self.R, self.p)
        if not self.leads_up:
            return new, None
        output = new[self.out]
        return new, self._of_output(output)[-1]


class _RowLayerStep:
    """The same for a cell that has a step in numpy (``cells.row_steps``): one matrix, on its output h."""

    out = "h"

    def __init__(self, block: Block, in_rows: RowStep, upward: tuple[Tensor, Tensor] | None) -> None:
        self.residual = block.residual
        self.leads_up = upward is not None
        self.step = in_rows.step
        matrix = in_rows.fold(block.recurrent.R["h"])
        self.width = len(matrix)
        bias = in_rows.bias
        if upward is not None:
            bias = torch.cat([matrix.new_zeros(self.width) if bias is None else bias, upward[1]])
            matrix = torch.cat([matrix, upward[0]])
        self.multiply = _decoding_product(matrix, bias)
        self._known: tuple[Tensor | None, Array] = (None, np.empty(0, np.float32))

    def __call__(self, projected: Tensor | Array, state: LayerState) -> tuple[LayerState, Tensor | None]:
        """As :meth:`_LayerStep.__call__`."""
        h = state["h"]
        if len(h) != len(projected):
            raise CelloquyError(f"{len(projected)} tokens need as many rows of state, not {len(h)}")
        output, products = self._known
        if output is not h:  # a new text; or a place that was come back to: the same to the last bit
            state = {name: value.detach() for name, value in state.items()}
            products = self.multiply(state["h"]).numpy()
        x = projected if isinstance(projected, np.ndarray) else array(projected)
        new = self.step(x, products[:, : self.width], state)
        h = new["h"]
        products = self.multiply(h).numpy()
        self._known = (h, products)
        return new, torch.from_numpy(products[:, self.width :]) if self.leads_up else None


def _decoding_product(weight: Tensor, bias: Tensor | None = None) -> Product:
    """A product whose rows do not depend on their company: in 16 bits where they hold the weights."""
    return half_product(weight, bias) or fixed_product(weight, ROWS, bias)


def _product(weight: Tensor, names: tuple[str, ...]) -> Any:
    shape = (-1, len(names), weight.shape[1])
    product = _decoding_product(weight)

    def multiply(rows: Tensor) -> GateBundle:
        return GateBundle(product(rows).view(shape), names)

    return multiply


def _joint_product(recurrent: list[Tensor], upward: tuple[Tensor, Tensor] | None) -> Any:
    """Rows [B, H] to their products with each matrix, in one call; the upward one, with its bias, comes last."""
    weights = recurrent if upward is None else [*recurrent, upward[0]]
    if not weights:
        return None
    sizes = [len(weight) for weight in weights]
    bias = None
    if upward is not None:
        bias = torch.cat([upward[1].new_zeros(sum(sizes[:-1])), upward[1]])
    product = _decoding_product(torch.cat(list(weights)), bias)
    return lambda rows: product(rows).split_with_sizes(sizes, 1)


def _projection(layer: Layer, in_rows: RowStep | None) -> tuple[Tensor, Tensor]:
    """What makes a layer's projected input as its step wants it: weights [G H, I] and bias [G H]."""
    if in_rows is None:
        return layer.W, layer.b
    return in_rows.fold(layer.W), in_rows.fold(layer.b)


def _asked_of_output(layer: Layer) -> list[str]:
    """The recurrent matrices that the cell multiplies with its output as it is, found by a step from its beginning."""
    state = layer.initial_state(1)
    output = state[output_name(layer.cell)]
    found: list[str] = []

    def spy(name: str, gates: tuple[str, ...]) -> Any:
        def multiply(rows: Tensor) -> GateBundle:
            if rows is output and name not in found:
                found.append(name)
            return GateBundle(rows.new_zeros(rows.shape[0], len(gates), layer.hidden_size), gates)

        return multiply

    R = named({name: spy(name, gates) for name, gates in layer.recurrent_gates.items()})
    x = GateBundle(layer.b.detach().view(1, len(layer.gates), layer.hidden_size), layer.gates)
    call_step(layer.cell, x, state, R, named({name: value.detach() for name, value in layer.p.items()}))
    return found


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
            in_rows = [row_step(block.recurrent) for block in blocks]
            self._steps: list[_LayerStep | _RowLayerStep] = []
            self._onward: list[Callable[[Tensor], Tensor] | None] = []
            for number, block in enumerate(blocks):
                above = blocks[number + 1] if number + 1 < len(blocks) else None
                upward: tuple[Tensor, Tensor] = (model.readout.weight, model.readout.bias)
                norm = model.final_norm
                if above is not None:
                    upward, norm = _projection(above.recurrent, in_rows[number + 1]), above.norm
                direct = norm is None and not block.residual
                leading = upward if direct else None
                found = in_rows[number]
                made = _LayerStep(block, leading) if found is None else _RowLayerStep(block, found, leading)
                self._steps.append(made)
                self._onward.append(None if direct else _onward(norm, *upward))
            first = blocks[0]
            embedding = model.embedding.weight
            self._embedding = embedding.detach() if first.residual else None
            size = self.config.embedding
            weight, bias = _projection(first.recurrent, in_rows[0])
            self._table = F.linear(first.before(embedding), weight[:, :size], bias)
            self._steered: Product | None = None  # weights over the labels [B, K] -> what they add to the table's rows
            if model.labels is not None:
                by_label = F.linear(model.labels.weight, weight[:, size:])  # [K, G H]
                self._steered = fixed_product(by_label.t().contiguous(), ROWS)
            in_arrays = in_rows[0] is not None and self._steered is None
            self._rows: Array | None = self._table.numpy() if in_arrays else None

    def initial_state(self, batch: int) -> State:
        """The state before any token."""
        with torch.no_grad():
            return self.model.initial_state(batch)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [B, V] after reading one token for each row, ``tokens`` [B], and the new state."""
        embedded = None if self._embedding is None else self._embedding.index_select(0, tokens)
        return self._up(self._with_label(self._table.index_select(0, tokens), state), embedded, state)

    def step_one(self, token: int, state: State) -> tuple[Tensor, State]:
        """:meth:`step` for one row, without a tensor to hold its token."""
        embedded = None if self._embedding is None else self._embedding[token : token + 1]
        if self._rows is not None:
            return self._up(self._rows[token : token + 1], embedded, state)
        return self._up(self._with_label(self._table[token : token + 1], state), embedded, state)

    def _with_label(self, projected: Tensor, state: State) -> Tensor:
        """A token's row of the table with what the stream's label adds."""
        return projected if self._steered is None else projected + self._steered(state[-1][LABEL])

    def _up(self, above: Any, x: Tensor | None, state: State) -> tuple[Tensor, State]:
        """From the bottom up: ``above`` is what the next layer is given, projected; ``x`` what residual paths add to.

        ``above`` is an array or a tensor, whichever the layer's step takes; a step in numpy takes both.
        Nothing here asks for a gradient, so that none is recorded.
        """
        after: State = []
        for step, onward, layer in zip(self._steps, self._onward, state, strict=self._steered is None):
            new, above = step(above, layer)
            after.append(new)
            output = new[step.out]
            x = x + output if step.residual and x is not None else output
            if onward is not None:
                above = onward(x)
        return above, after if self._steered is None else [*after, state[-1]]

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


def _onward(norm: nn.LayerNorm | None, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """What stands between a layer and the next where its bare output is not what that is given."""
    product = _decoding_product(weight, bias)
    if norm is None:
        return product
    shape, scale, offset, eps = list(norm.normalized_shape), norm.weight.detach(), norm.bias.detach(), norm.eps
    return lambda x: product(F.layer_norm(x, shape, scale, offset, eps))
