"""RNN, GRU and LSTM over a whole sequence as one node of autograd: forward and backward written out, in place.

Beside its products a step of training spends its time in Python, in autograd's nodes, and in memory that is taken and
left for every intermediate value. Here the gates of all steps lie in one block, each step works in its part, and the
backward pass is written out. What is computed is what ``step`` says (tanh by the sigmoid, as in ``cells.activation``);
tests hold outputs, states and every gradient to the loop. For the CPU.

The backward pass is that of Werbos 1990, "Backpropagation through time: what it does and how to do it"; what flows
through the gates follows from the equations in each cell's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cells.cell import Cell
from cells.gru import GRU
from cells.lstm import LSTM
from cells.packed import fixed_product, once_product
from cells.product import PILE
from cells.rnn import RNN
from cells.state import LayerState

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_relu_backward = torch.ops.aten.threshold_backward.grad_input
"""(gradient of the result, the result, grad_input=where the gradient of what went in is put)"""


class Forward(NamedTuple):
    """What a forward pass is given. T steps, B rows, H units, G gates."""

    x: Tensor  # the projected input [T, B, G H]
    start: Sequence[Tensor]  # the states before, the output's first, [B, H]
    vectors: Sequence[Tensor]  # [H]
    multiply: Callable[[Tensor], Tensor]  # an output [B, H] -> what it is by R [B, G H]
    y: Tensor  # a place for the outputs [T, B, H]

    def block(self, gates: int = 1) -> Tensor:
        """An empty [T, B, gates H]."""
        return self.y.new_empty(*self.y.shape[:2], gates * self.y.shape[2])


class Backward(NamedTuple):
    """What a backward pass is given; ``saved`` is what the forward pass left."""

    dy: Tensor  # [T, B, H]
    ends: Sequence[Tensor]  # gradients of the last states [B, H]
    start: Sequence[Tensor]
    vectors: Sequence[Tensor]
    y: Tensor
    saved: Sequence[Tensor]
    dx: Tensor  # a place for the gradient of the projected input [T, B, G H]
    back: Callable[[int, Tensor], Tensor]  # (step, gradient of its product [B, G H]) -> that of the output before


Passes = tuple[
    Callable[[Forward], tuple[list[Tensor], list[Tensor]]],  # -> the other states after, and what to save
    Callable[[Backward], tuple[list[Tensor], list[Tensor]]],  # -> gradients of the vectors, and of the states before
]


def _gates(tensor: Tensor, size: int, first: int, count: int = 1) -> Sequence[Tensor]:
    """Gates ``first`` and following of [T, B, G H], for each step."""
    return tensor[:, :, first * size : (first + count) * size].unbind(0)


def _tanh_(x: Tensor) -> Tensor:
    """tanh in place, by the sigmoid."""
    return x.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def _rnn_forward(f: Forward, activation: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    for x, h, after in zip(f.x.unbind(0), [f.start[0], *f.y.unbind(0)], f.y.unbind(0), strict=False):
        activation(torch.add(x, f.multiply(h), out=after))
    return [], []


def _rnn_backward(b: Backward, activation_backward: Callable[..., Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    dh = b.ends[0]
    for t in range(len(b.y) - 1, -1, -1):
        dz = b.dx[t]
        activation_backward(dh + b.dy[t], b.y[t], grad_input=dz)
        dh = b.back(t, dz)
    return [], [dh]


def _tanh_rnn_forward(f: Forward) -> tuple[list[Tensor], list[Tensor]]:
    return _rnn_forward(f, _tanh_)


def _tanh_rnn_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    return _rnn_backward(b, _tanh_backward)


def _relu_rnn_forward(f: Forward) -> tuple[list[Tensor], list[Tensor]]:
    return _rnn_forward(f, torch.relu_)


def _relu_rnn_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    return _rnn_backward(b, lambda gradient, h, grad_input: _relu_backward(gradient, h, 0, grad_input=grad_input))


def _gru_forward(f: Forward) -> tuple[list[Tensor], list[Tensor]]:
    """Saves the gates [T, B, 3 H], and what the reset gate multiplies [T, B, H]."""
    size = f.y.shape[2]
    gates, reset = f.block(3), f.block()
    steps = zip(
        *(_gates(f.x, size, 0, 2), _gates(f.x, size, 2), _gates(gates, size, 0, 2)),
        *(_gates(gates, size, gate) for gate in range(3)),
        *(reset.unbind(0), [f.start[0], *f.y.unbind(0)], f.y.unbind(0)),
        strict=False,
    )
    for x_rz, x_n, rz, r, z, n, u_n, h, after in steps:
        u = f.multiply(h)
        torch.add(x_rz, u[:, : 2 * size], out=rz).sigmoid_()
        torch.add(u[:, 2 * size :], f.vectors[0], out=u_n)
        _tanh_(torch.addcmul(x_n, r, u_n, out=n))
        torch.lerp(n, h, z, out=after)
    return [], [gates, reset]


def _gru_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    size = b.y.shape[2]
    gates, reset = b.saved
    dh, du, d_p = b.ends[0], torch.empty_like(b.dx[0]), torch.zeros_like(b.vectors[0])
    du_rz, du_n = du[:, : 2 * size], du[:, 2 * size :]
    both = torch.empty_like(du_rz)
    d_r, d_z = both.chunk(2, 1)
    steps = zip(
        *(_gates(gates, size, 0, 2), *(_gates(gates, size, gate) for gate in range(3))),
        *(reset.unbind(0), [b.start[0], *b.y.unbind(0)], _gates(b.dx, size, 0, 2), _gates(b.dx, size, 2)),
        b.dy.unbind(0),
        strict=False,
    )
    for t, (rz, r, z, n, u_n, h, dx_rz, dx_n, dy) in reversed(list(enumerate(steps))):
        dh = dh + dy
        kept = dh * z
        torch.sub(h, n, out=d_z).mul_(dh)
        _tanh_backward(dh.sub_(kept), n, grad_input=dx_n)
        torch.mul(dx_n, u_n, out=d_r)
        _sigmoid_backward(both, rz, grad_input=dx_rz)
        du_rz.copy_(dx_rz)
        torch.mul(dx_n, r, out=du_n)
        d_p += du_n.sum(0)
        dh = b.back(t, du).add_(kept)
    return [d_p], [dh]


def _lstm_forward(f: Forward) -> tuple[list[Tensor], list[Tensor]]:
    """Saves the gates [T, B, 4 H], c and tanh c [T, B, H]."""
    size = f.y.shape[2]
    gates, cells, squashed = f.block(4), f.block(), f.block()
    steps = zip(
        *(f.x.unbind(0), gates.unbind(0), _gates(gates, size, 0, 2)),
        *(_gates(gates, size, gate) for gate in range(4)),
        *([f.start[1], *cells.unbind(0)], cells.unbind(0), squashed.unbind(0)),
        *([f.start[0], *f.y.unbind(0)], f.y.unbind(0)),
        strict=False,
    )
    for x, every, i_f, i, f_gate, g, o, c, c_after, tanh_c, h, after in steps:
        torch.add(x, f.multiply(h), out=every)
        i_f.sigmoid_()
        _tanh_(g)
        o.sigmoid_()
        torch.mul(f_gate, c, out=c_after).addcmul_(i, g)
        _tanh_(tanh_c.copy_(c_after))
        torch.mul(o, tanh_c, out=after)
    return [cells[-1].clone()], [gates, cells, squashed]


def _lstm_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    size = b.y.shape[2]
    gates, cells, squashed = b.saved
    dh, dc = b.ends[0], b.ends[1].clone()
    both, one = torch.empty_like(b.dx[0, :, : 2 * size]), torch.empty_like(dc)
    d_i, d_f = both.chunk(2, 1)
    steps = zip(
        *(_gates(gates, size, 0, 2), *(_gates(gates, size, gate) for gate in range(4))),
        *([b.start[1], *cells.unbind(0)], squashed.unbind(0)),
        *(_gates(b.dx, size, 0, 2), _gates(b.dx, size, 2), _gates(b.dx, size, 3), b.dx.unbind(0), b.dy.unbind(0)),
        strict=False,
    )
    for t, (i_f, i, f, g, o, c, tanh_c, dx_if, dx_g, dx_o, dz, dy) in reversed(list(enumerate(steps))):
        dh = dh + dy
        _sigmoid_backward(torch.mul(dh, tanh_c, out=one), o, grad_input=dx_o)
        dc += _tanh_backward(dh.mul_(o), tanh_c, grad_input=one)
        torch.mul(dc, g, out=d_i)
        torch.mul(dc, c, out=d_f)
        _sigmoid_backward(both, i_f, grad_input=dx_if)
        _tanh_backward(torch.mul(dc, i, out=one), g, grad_input=dx_g)
        dc *= f
        dh = b.back(t, dz)
    return [], [dh, dc]


class _Whole(torch.autograd.Function):
    """(passes, dtype of the products, x [T, B, G H], R [G H, H], number of vectors, vectors and states before)
    -> the outputs [T, B, H] and the states after."""

    @staticmethod
    def forward(
        ctx: Any, passes: Passes, dtype: torch.dtype, x: Tensor, R: Tensor, vectors: int, *given: Tensor
    ) -> tuple[Tensor, ...]:
        batch, size = given[-1].shape
        y = x.new_empty(len(x), batch, size)
        product = fixed_product(R.to(dtype), batch)
        run = Forward(x, given[vectors:], given[:vectors], lambda h: product(h.to(dtype)), y)
        others, saved = passes[0](run)
        ctx.save_for_backward(R, y, *given, *saved)
        ctx.passes, ctx.dtype, ctx.vectors, ctx.given = passes, dtype, vectors, len(given)
        return y, y[-1].clone(), *others

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *ends: Tensor) -> tuple[Tensor | None, ...]:
        R, y, *more = ctx.saved_tensors
        given, saved = more[: ctx.given], more[ctx.given :]
        vectors, start = given[: ctx.vectors], given[ctx.vectors :]
        product = fixed_product(R.to(ctx.dtype).t().contiguous(), y.shape[1])
        pile = R.new_empty(min(PILE, len(y)), y.shape[1], len(R), dtype=ctx.dtype)  # gradients of some steps' products
        dR = torch.zeros_like(R)

        def back(t: int, du: Tensor) -> Tensor:
            place = t % PILE
            gradient = pile[place].copy_(du)
            if place == 0:
                end = min(t + PILE, len(y))
                before = y[t - 1 : end - 1] if t else torch.cat([start[0].unsqueeze(0), y[: end - 1]])
                dR.add_(once_product(pile[: end - t].flatten(0, 1), before.to(ctx.dtype).flatten(0, 1)))
            return product(gradient).to(du.dtype)

        dx = dy.new_empty(*y.shape[:2], len(R))
        d_vectors, d_start = ctx.passes[1](Backward(dy, ends, start, vectors, y, saved, dx, back))
        return None, None, dx, dR, None, *d_vectors, *d_start


PASSES: dict[type[Cell], Passes] = {
    RNN: (_tanh_rnn_forward, _tanh_rnn_backward),
    GRU: (_gru_forward, _gru_backward),
    LSTM: (_lstm_forward, _lstm_backward),
}
_RELU: Passes = (_relu_rnn_forward, _relu_rnn_backward)


def whole_loop(layer: Any, projected: Tensor, state: LayerState) -> tuple[Tensor, LayerState] | None:
    """Outputs [T, B, H] and the state after, from a projected input [T, B, G H]; None where the loop must do it."""
    cell: Cell = layer.cell
    passes = PASSES.get(type(cell))
    if passes is None or projected.device.type != "cpu" or not torch.is_grad_enabled():
        return None
    if cell.options.get("activation") == "relu":
        passes = _RELU
    vectors, states = list(layer.p.values()), [state[name] for name in cell.state]
    shape = (projected.shape[1], layer.hidden_size)
    if any(value.shape != shape or value.dtype != projected.dtype for value in states):
        return None  # the loop says what is wrong with it
    if not any(value.requires_grad for value in (projected, layer.R["h"], *vectors, *states)):
        return None
    y, *after = _Whole.apply(  # type: ignore[no-untyped-call]
        passes, layer.product_dtype, projected, layer.R["h"], len(vectors), *vectors, *states
    )
    return y, dict(zip(cell.state, after, strict=True))
