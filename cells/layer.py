"""One recurrent layer: the parameters of a cell and the engine that runs the cell over time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.cell import Cell, check_declaration, gate_names, output_name
from cells.errors import CelloquyError
from cells.product import recurrent_product
from cells.scan import scan, scan_tokens
from cells.state import LayerState
from cells.stepping import call_step
from cells.whole_loops import whole_loop, whole_loop_of_tokens

Kernel = Callable[["Layer", Tensor, LayerState], tuple[Tensor, LayerState]]
"""A fused replacement of the loop: (layer, x [T, B, I], state) -> (y [T, B, H], state)."""

KernelFinder = Callable[[Cell, torch.device, torch.dtype, bool], Kernel | None]
"""(cell, device, dtype of the products, training) -> a kernel, or None to decline."""


class Layer(nn.Module):
    """A cell with its parameters.

    ``W`` [G H, I] and ``b`` [G H] project the input for the G input gates; ``R.<name>`` [g H, H] are the recurrent
    matrices; ``p.<name>`` [H] the per-unit vectors.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_declaration(cell)
        self.cell = cell
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.gates = gate_names(cell.input)
        self.recurrent_gates = {name: gate_names(gates) for name, gates in cell.recurrent.items()}
        self.W = nn.Parameter(torch.empty(len(self.gates) * hidden_size, input_size))
        self.b = nn.Parameter(torch.empty(len(self.gates) * hidden_size))
        self.R = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(len(gates) * hidden_size, hidden_size))
                for name, gates in self.recurrent_gates.items()
            }
        )
        self.p = nn.ParameterDict({name: nn.Parameter(torch.empty(hidden_size)) for name in cell.vectors})
        self.compute_dtype: torch.dtype | None = None
        self.whole = False  # whether a built-in cell may run over whole sequences where it trains; a model decides
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Matrices uniform in +-1/sqrt(H), as ``torch.nn`` does; biases and vectors as the cell declares."""
        bound = self.hidden_size**-0.5
        for matrix in (self.W, *self.R.values()):
            matrix.uniform_(-bound, bound)
        self.reset_declared()

    @torch.no_grad()
    def reset_declared(self) -> None:
        """Biases and per-unit vectors to the values that the cell declares."""
        for gate, part in zip(self.gates, self.b.view(-1, self.hidden_size), strict=True):
            part.fill_(float(self.cell.bias.get(gate, 0.0)))
        for name, value in self.cell.vectors.items():
            self.p[name].fill_(float(value))

    @property
    def product_dtype(self) -> torch.dtype:
        """What matrix products are computed in; sums, state and everything else stay in the parameters' dtype."""
        return self.compute_dtype or self.W.dtype

    def initial_state(self, batch: int) -> LayerState:
        """The state before any input: each value as declared, [B, H]."""
        return {
            name: self.W.new_full((batch, self.hidden_size), float(value)) for name, value in self.cell.state.items()
        }

    def project(self, x: Tensor, W: Tensor | None = None) -> Tensor:
        """The input projection W x + b for all gates at once: [..., I] -> [..., G H], in the parameters' dtype.

        ``W`` are the columns of the layer's W for an ``x`` that is only a part of its input; all unless given.
        """
        W = self.W if W is None else W
        dtype = self.product_dtype
        if dtype == W.dtype:
            return F.linear(x, W, self.b)
        return F.linear(x.to(dtype), W.to(dtype)).to(W.dtype) + self.b

    def forward(
        self, x: Tensor, state: LayerState | None = None, mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, LayerState]:
        """Run over x [T, B, I]; returns the outputs [T, B, H] and the final state.

        Where ``mask`` [T, B] is False the row keeps its state. ``reverse`` runs from the last step to the first;
        outputs stay at their input's place.
        """
        return self.run(self.project(x), state, mask, reverse)

    def run(
        self, projected: Tensor, state: LayerState | None = None, mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, LayerState]:
        """The recurrence alone, over an input that is projected already, [T, B, G H]."""
        if reverse:
            flipped = None if mask is None else mask.flip(0)
            y, state = self.run(projected.flip(0), state, flipped)
            return y.flip(0), state
        length, batch = projected.shape[:2]
        if length == 0:
            raise CelloquyError("a sequence needs at least one step")
        if state is None:
            state = self.initial_state(batch)
        packed = projected.view(length, batch, len(self.gates), self.hidden_size)
        if self.cell.affine and mask is None and length > 1 and (done := scan(self, projected, state)) is not None:
            return done
        if self.whole and mask is None and (done := whole_loop(self, projected, state)) is not None:
            return done
        return self._loop(packed, state, mask)

    def run_tokens(self, table: Tensor, tokens: Tensor, state: LayerState) -> tuple[Tensor, LayerState] | None:
        """:meth:`run` over ``tokens`` [T, B] where ``table`` [V, G H] has the projected input of each, which is then
        never there for all of them; None where :meth:`run` must do it."""
        if self.cell.affine and len(tokens) > 1:
            return scan_tokens(self, table, tokens, state)
        return whole_loop_of_tokens(self, table, tokens, state) if self.whole else None

    def _loop(self, packed: Tensor, state: LayerState, mask: Tensor | None) -> tuple[Tensor, LayerState]:
        """Step after step; what is constant over the sequence is made before it."""
        batch = packed.shape[1]
        R = named(
            {
                name: recurrent_product(self.R[name], gates, batch, self.product_dtype)
                for name, gates in self.recurrent_gates.items()
            }
        )
        p = named(dict(self.p))
        out = output_name(self.cell)
        keep = None if mask is None else mask.unsqueeze(-1).unbind(0)
        outputs = []
        for t, gates in enumerate(packed.unbind(0)):
            new = call_step(self.cell, GateBundle(gates, self.gates), state, R, p)
            if keep is not None:
                new = {name: torch.where(keep[t], value, state[name]) for name, value in new.items()}
            state = new
            outputs.append(state[out])
        return torch.stack(outputs), state
