"""Affine cells over a whole sequence: h_t = a_t h_{t-1} + b_t, where ``step`` gives a and b of many steps at once.

Everything here is bound by memory. a and b are functions of the input alone; so where that comes from a token table,
each token's are found once, and each step gathers those of its tokens. Any other input is done piece by piece, each
small enough for the cache from its gates to its states: the forward pass keeps the states alone, and the backward pass
has ``step`` make a and b again. The gradient is the same recurrence backwards in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cells.affine import NotFollowed, StandIn, by_differentiation
from cells.bundle import GateBundle, named
from cells.cell import Cell, output_name
from cells.errors import CelloquyError
from cells.state import LayerState
from cells.stepping import call_step, guarded_step


def piece_length(elements: int, device: torch.device) -> int:
    """Steps to scan at once, each of so many ``elements`` [B, H]: on a CPU as many as stay in the cache."""
    return max(1, (1 << 18 if device.type == "cpu" else 1 << 27) // max(1, elements))


FAR_OFF = 0.05
"""What a step may differ from a s + b, relatively, before it is said not to be affine: more than any rounding."""


def _pieces(length: int, steps: int) -> list[slice]:
    return [slice(start, min(start + steps, length)) for start in range(0, length, steps)]


def _version(tensor: Tensor) -> int:
    """How often something was written into ``tensor``; 0 where nobody counts."""
    return 0 if tensor.is_inference() else tensor._version


class _Coefficients:
    """An affine cell with one state: what a step of it does to that state."""

    def __init__(self, cell: Cell, gates: tuple[str, ...], vectors: tuple[str, ...]) -> None:
        self.cell = cell
        self.gates = gates
        self.vectors = vectors
        (self.state,) = cell.state
        self.followed = True  # until a step does something that the stand-in does not follow
        self.compared = False  # what differentiation found, with what a step gives

    def __call__(self, gates: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """a and b [..., H] of the gates, each [..., H], and the per-unit vectors' ``values``."""
        p = named(dict(zip(self.vectors, values, strict=True)))
        like = gates[0]
        if self.followed:
            try:
                return self._followed(gates, p)
            except (CelloquyError, NotFollowed, RuntimeError):  # if the step is faulty, differentiation tells of it
                self.followed = False

        def states(old: Tensor) -> tuple[Tensor, ...]:
            new = call_step(self.cell, GateBundle.of(gates, self.gates), {self.state: old}, named({}), p)
            return (new[self.state],)

        ((a,),), (b,) = by_differentiation(states, 1, like)
        if not self.compared and like.device.type != "meta":
            self.compared = True
            with torch.no_grad():
                (found,) = states(torch.ones_like(like))
                if ((found - a - b).abs() > FAR_OFF * (1 + a.abs() + b.abs())).any():
                    raise CelloquyError(f"cell {self.cell.label}: affine = True, but step is not affine in its state")
        return a, b

    def _followed(self, gates: Sequence[Tensor], p: Any) -> tuple[Tensor, Tensor]:
        """The same by the stand-in; NotFollowed, or another error, where it cannot say."""
        like = gates[0]
        stand_in = {self.state: StandIn(like.dtype)}
        new = guarded_step(self.cell, GateBundle.of(gates, self.gates), stand_in, named({}), p)[self.state]
        if isinstance(new, Tensor) and new.shape == like.shape and new.dtype == like.dtype:
            return torch.zeros_like(like), new
        if not isinstance(new, StandIn):
            raise NotFollowed
        a, b = (torch.as_tensor(value, dtype=like.dtype, device=like.device) for value in (new.a, new.b))
        return a.expand_as(like), b.expand_as(like)


def _run(a: Tensor, b: Tensor, start: Tensor, h: Tensor) -> Tensor:
    """The states ``h`` [n, B, H] after ``start``; returns the last."""
    for factor, offset, here in zip(a.unbind(0), b.unbind(0), h.unbind(0), strict=True):
        start = torch.addcmul(offset, factor, start, out=here)
    return start


def _run_back(a: Tensor, dh: Tensor, later: Tensor, adjoint: Tensor) -> Tensor:
    """The gradients ``adjoint`` [n, B, H] of each b, from those of the states; returns that of the state before.

    ``later`` is what the state after these steps hands back.
    """
    factors, gradients, places = a.unbind(0), dh.unbind(0), adjoint.unbind(0)
    torch.add(gradients[-1], later, out=places[-1])
    for t in range(len(places) - 2, -1, -1):
        torch.addcmul(gradients[t], factors[t + 1], places[t + 1], out=places[t])
    return factors[0] * places[0]


def _times_before(adjoint: Tensor, h: Tensor, start: Tensor, part: slice, out: Tensor) -> None:
    """The gradients of each a of a ``part``: that of b times the state before."""
    if part.start:
        torch.mul(adjoint, h[part.start - 1 : part.stop - 1], out=out)
    else:
        torch.mul(adjoint[0], start, out=out[0])
        torch.mul(adjoint[1:], h[: part.stop - 1], out=out[1:])


class _TokenScan(torch.autograd.Function):
    """(table [V, 2 H] of each token's a and b, tokens [T, B], the state before [B, H], steps of a piece)
    -> all states [T, B, H] and the last."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        batch, size = start.shape
        h = start.new_empty(len(tokens), batch, size)
        rows = table.new_empty(steps * batch, 2 * size)
        last = start
        for part in _pieces(len(tokens), steps):
            here = tokens[part].reshape(-1)
            a, b = torch.index_select(table, 0, here, out=rows[: len(here)]).view(-1, batch, 2 * size).chunk(2, -1)
            last = _run(a, b, last, h[part])
        ctx.save_for_backward(table, tokens, start, h)
        ctx.steps = steps
        return h, last.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor, end: Tensor) -> tuple[Tensor | None, ...]:
        table, tokens, start, h = ctx.saved_tensors
        batch, size = start.shape
        factors = table[:, :size].contiguous()
        rows = factors.new_empty(ctx.steps * batch, size)
        both = factors.new_empty(ctx.steps, batch, 2 * size)
        d_table = torch.zeros_like(table)
        later = end
        for part in reversed(_pieces(len(tokens), ctx.steps)):
            here = tokens[part].reshape(-1)
            a = torch.index_select(factors, 0, here, out=rows[: len(here)]).view(-1, batch, size)
            piece = both[: len(a)]
            to_a, adjoint = piece.chunk(2, -1)
            later = _run_back(a, dh[part], later, adjoint)
            _times_before(adjoint, h, start, part, to_a)
            d_table += torch.ops.aten.embedding_dense_backward(piece.flatten(0, 1), here, len(table), -1, False)
        return d_table, None, later, None


class _Scan(torch.autograd.Function):
    """(coefficients, the projected input [T, B, G H], the state before [B, H], steps of a piece, vectors)
    -> all states [T, B, H] and the last."""

    @staticmethod
    def forward(
        ctx: Any, find: _Coefficients, x: Tensor, start: Tensor, steps: int, *vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        size = start.shape[1]
        h = x.new_empty(len(x), *start.shape)
        last, versions = start, [_version(value) for value in (x, *vectors)]
        for part in _pieces(len(x), steps):
            last = _run(*find(torch.split(x[part], size, -1), vectors), last, h[part])
        if [_version(value) for value in (x, *vectors)] != versions:  # there is no autograd here that would notice
            raise CelloquyError(f"cell {find.cell.label}: step must leave its gates and vectors as they are")
        ctx.save_for_backward(x, start, h, *vectors)
        ctx.find, ctx.steps = find, steps
        return h, last.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor, end: Tensor) -> tuple[Tensor | None, ...]:
        x, start, h, *vectors = ctx.saved_tensors
        size, gates = start.shape[1], len(ctx.find.gates)
        to_a, adjoint = dh.new_empty(2, ctx.steps, *start.shape).unbind(0)
        dx = torch.zeros_like(x)
        d_vectors = [torch.zeros_like(vector) for vector in vectors]
        later = end
        for part in reversed(_pieces(len(x), ctx.steps)):
            given = [value.detach().requires_grad_() for value in (*torch.split(x[part], size, -1), *vectors)]
            with torch.enable_grad():
                a, b = ctx.find(given[:gates], given[gates:])
            here = adjoint[: len(a)]
            later = _run_back(a.detach(), dh[part], later, here)
            _times_before(here, h, start, part, to_a[: len(a)])
            of_a_and_b = ((a, to_a[: len(a)]), (b, here))
            found = [(value, gradient) for value, gradient in of_a_and_b if value.requires_grad]
            if not found:
                continue
            places = [*torch.split(dx[part], size, -1), *d_vectors]
            outputs, gradients = zip(*found, strict=True)
            for place, gradient in zip(
                places, torch.autograd.grad(outputs, given, gradients, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    place += gradient
        return None, dx, later, None, *d_vectors


def scan(layer: Any, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState] | None:
    """Outputs [T, B, H] and the state after of a layer whose cell is affine, from the projected input [T, B, G H].
    None for a state that does not fit: the loop says what is wrong with it."""
    if not _fits(layer, x, state, x.shape[1]):
        return None
    if len(state) > 1:
        return _scan_several(layer, x, state)
    ((name, start),) = state.items()
    find = _Coefficients(layer.cell, layer.gates, tuple(layer.p))
    steps = min(len(x), piece_length(2 * start.numel(), start.device))  # there are intermediate values too
    h, last = _Scan.apply(find, x, start, steps, *layer.p.values())  # type: ignore[no-untyped-call]
    return h, {name: last}


def scan_tokens(layer: Any, table: Tensor, tokens: Tensor, state: LayerState) -> tuple[Tensor, LayerState] | None:
    """The same from ``tokens`` [T, B] and a table [V, G H] with the projected input of each; None also for a cell of
    several states."""
    if len(state) > 1 or not _fits(layer, table, state, tokens.shape[1]):
        return None
    ((name, start),) = state.items()
    find = _Coefficients(layer.cell, layer.gates, tuple(layer.p))
    a_and_b = torch.cat(find(torch.split(table, start.shape[1], -1), list(layer.p.values())), -1)
    steps = min(len(tokens), max(piece_length(start.numel(), start.device), len(table) // len(start)))
    h, last = _TokenScan.apply(a_and_b, tokens, start, steps)  # type: ignore[no-untyped-call]
    return h, {name: last}


def _fits(layer: Any, x: Tensor, state: LayerState, batch: int) -> bool:
    size = (batch, layer.hidden_size)
    named_so = state.keys() == layer.cell.state.keys()
    return batch > 0 and named_so and all(value.shape == size and value.dtype == x.dtype for value in state.values())


def _scan_several(layer: Any, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
    """The same for a cell whose states feed each other (SRU, for one): an S x S matrix for each unit and step."""
    names, p = tuple(layer.cell.state), named(dict(layer.p))
    outputs: list[Tensor] = []
    for part in _pieces(len(x), 4 * piece_length(state[names[0]].numel(), x.device)):
        gates = torch.split(x[part], layer.hidden_size, -1)

        def states(*old: Tensor, gates: Sequence[Tensor] = gates) -> tuple[Tensor, ...]:
            bundle = GateBundle.of(gates, layer.gates)
            new = call_step(layer.cell, bundle, dict(zip(names, old, strict=True)), named({}), p)
            return tuple(new[name] for name in names)

        columns, offsets = by_differentiation(states, len(names), gates[0])
        matrix = torch.stack([torch.stack(column, -1) for column in columns], -1)  # [n, B, H, new, old]
        now = torch.stack([state[name] for name in names], -1)
        rows = []
        for m, b in zip(matrix.unbind(0), torch.stack(offsets, -1).unbind(0), strict=True):
            now = b + sum((m[..., old] * now[..., old, None] for old in range(len(names))), torch.zeros_like(b))
            rows.append(now)
        found = torch.stack(rows).unbind(-1)
        outputs.append(found[names.index(output_name(layer.cell))])
        state = {name: values[-1] for name, values in zip(names, found, strict=True)}
    return torch.cat(outputs), state
