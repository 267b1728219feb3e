"""RNN, GRU and LSTM over a whole sequence as one node of autograd: forward and backward written out, in place.

Beside its products a step of training spends its time in Python, in autograd's nodes, and in memory that is taken and
left for every intermediate value. Here the gates of all steps lie in one block, each step works in its part, and the
backward pass is written out. What is computed is what ``step`` says (tanh by numpy, which takes a tenth of torch's
time); tests hold outputs, states and every gradient to the loop. For the CPU.

What comes from memory costs as much as what is computed, so the projected input of all steps is never there where it
comes from a token table: each step gathers its own rows, and leaves its gradient to the table's.

The backward pass is that of Werbos 1990, "Backpropagation through time: what it does and how to do it"; what flows
through the gates follows from the equations in each cell's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
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

PIECE = 16
"""Steps whose gradients wait until they are added to the rows of a token table: they are in the cache until then."""

NUMPY_HAS = (torch.float32, torch.float64)

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_relu_backward = torch.ops.aten.threshold_backward.grad_input
"""(gradient of the result, the result, grad_input=where the gradient of what went in is put)"""


class Forward(NamedTuple):
    """What a forward pass is given. T steps, B rows, H units, G gates."""

    x: Iterable[Tensor]  # each step's projected input [B, G H], there until the next is asked for
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
    dx: Sequence[Tensor]  # a place for the gradient of each step's projected input [B, G H]
    back: Callable[[int, Tensor], Tensor]  # (step, gradient of its product [B, G H]) -> that of the output before;
    # asked when the step's ``dx`` is there, which may be another step's place from then on


Passes = tuple[
    Callable[[Forward], tuple[list[Tensor], list[Tensor]]],  # -> the other states after, and what to save
    Callable[[Backward], tuple[list[Tensor], list[Tensor]]],  # -> gradients of the vectors, and of the states before
]


def _gates(tensor: Tensor, size: int, first: int, count: int = 1) -> Sequence[Tensor]:
    """Gates ``first`` and following of [T, B, G H], for each step."""
    return tensor[:, :, first * size : (first + count) * size].unbind(0)


def _tanh(x: Tensor, out: Tensor) -> None:
    """tanh(x) into ``out``."""
    np.tanh(x.numpy(), out.numpy())


def _tanh_(x: Tensor) -> None:
    """tanh in place."""
    _tanh(x, x)


def _rnn_forward(f: Forward, activation: Callable[[Tensor], object]) -> tuple[list[Tensor], list[Tensor]]:
    for x, h, after in zip(f.x, [f.start[0], *f.y.unbind(0)], f.y.unbind(0), strict=False):
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
        *(f.x, _gates(gates, size, 0, 2), *(_gates(gates, size, gate) for gate in range(3))),
        *(reset.unbind(0), [f.start[0], *f.y.unbind(0)], f.y.unbind(0)),
        strict=False,
    )
    for x, rz, r, z, n, u_n, h, after in steps:
        u = f.multiply(h)
        torch.add(x[:, : 2 * size], u[:, : 2 * size], out=rz).sigmoid_()
        torch.add(u[:, 2 * size :], f.vectors[0], out=u_n)
        _tanh_(torch.addcmul(x[:, 2 * size :], r, u_n, out=n))
        torch.lerp(n, h, z, out=after)
    return [], [gates, reset]


def _gru_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    size = b.y.shape[2]
    gates, reset = b.saved
    dh, du, d_p = b.ends[0], torch.empty_like(b.dx[0]), torch.zeros_like(b.vectors[0])
    du_rz, du_n = du[:, : 2 * size], du[:, 2 * size :]
    both = du.new_empty(du_rz.shape)
    d_r, d_z = both.chunk(2, 1)
    steps = zip(
        *(_gates(gates, size, 0, 2), *(_gates(gates, size, gate) for gate in range(3))),
        *(reset.unbind(0), [b.start[0], *b.y.unbind(0)], b.dx, b.dy.unbind(0)),
        strict=False,
    )
    for t, (rz, r, z, n, u_n, h, dx, dy) in reversed(list(enumerate(steps))):
        dx_rz, dx_n = dx[:, : 2 * size], dx[:, 2 * size :]
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
    """Saves the gates [T, B, 4 H] and c [T, B, H]; tanh c is worked out again."""
    size = f.y.shape[2]
    gates, cells = f.block(4), f.block()
    steps = zip(
        *(f.x, gates.unbind(0), _gates(gates, size, 0, 2)),
        *(_gates(gates, size, gate) for gate in range(4)),
        *([f.start[1], *cells.unbind(0)], cells.unbind(0)),
        *([f.start[0], *f.y.unbind(0)], f.y.unbind(0)),
        strict=False,
    )
    for x, every, i_f, i, f_gate, g, o, c, c_after, h, after in steps:
        torch.add(x, f.multiply(h), out=every)
        i_f.sigmoid_()
        _tanh_(g)
        o.sigmoid_()
        torch.mul(f_gate, c, out=c_after).addcmul_(i, g)
        _tanh(c_after, after)
        after.mul_(o)
    return [cells[-1].clone()], [gates, cells]


def _lstm_backward(b: Backward) -> tuple[list[Tensor], list[Tensor]]:
    size = b.y.shape[2]
    gates, cells = b.saved
    dh, dc = b.ends[0], b.ends[1].clone()
    both, one, tanh_c = dc.new_empty(len(dc), 2 * size), torch.empty_like(dc), torch.empty_like(dc)
    d_i, d_f = both.chunk(2, 1)
    steps = zip(
        *(_gates(gates, size, 0, 2), *(_gates(gates, size, gate) for gate in range(4))),
        *([b.start[1], *cells.unbind(0)], cells.unbind(0), b.dx, b.dy.unbind(0)),
        strict=False,
    )
    for t, (i_f, i, f, g, o, c, c_after, dz, dy) in reversed(list(enumerate(steps))):
        dx_if, dx_g, dx_o = dz[:, : 2 * size], dz[:, 2 * size : 3 * size], dz[:, 3 * size :]
        dh = dh + dy
        _tanh(c_after, tanh_c)
        _sigmoid_backward(torch.mul(dh, tanh_c, out=one), o, grad_input=dx_o)
        dc += _tanh_backward(dh.mul_(o), tanh_c, grad_input=one)
        torch.mul(dc, g, out=d_i)
        torch.mul(dc, c, out=d_f)
        _sigmoid_backward(both, i_f, grad_input=dx_if)
        _tanh_backward(torch.mul(dc, i, out=one), g, grad_input=dx_g)
        dc *= f
        dh = b.back(t, dz)
    return [], [dh, dc]


def _entering(x: Tensor, tokens: Tensor | None) -> Iterator[Tensor]:
    """Each step's projected input: that of ``x`` [T, B, G H]; or rows of a table [V, G H], that of each token."""
    if tokens is None:
        yield from x.unbind(0)
        return
    place = x.new_empty(tokens.shape[1], x.shape[1])
    for row in tokens.unbind(0):
        yield torch.index_select(x, 0, row, out=place)


class _InputGradient:
    """The gradient of what :func:`_entering` was given, put together from the last step to the first."""

    def __init__(self, shape: torch.Size, tokens: Tensor | None, like: Tensor) -> None:
        self.tokens = tokens
        steps, batch = like.shape[:2]
        self.whole = like.new_empty(shape) if tokens is None else like.new_zeros(shape)
        self.block = self.whole if tokens is None else like.new_empty(min(PIECE, steps), batch, shape[-1])
        slots = self.block.unbind(0)
        self.places = [slots[step % len(slots)] for step in range(steps)]

    def put(self, step: int) -> None:
        """The gradient of this step is in its place."""
        if self.tokens is not None and step % PIECE == 0:
            tokens = self.tokens[step : step + PIECE]
            of_piece = self.block[: len(tokens)].flatten(0, 1)
            self.whole += torch.ops.aten.embedding_dense_backward(
                of_piece, tokens.reshape(-1), len(self.whole), -1, False
            )


class _Whole(torch.autograd.Function):
    """(passes, dtype of the products, x and tokens as :func:`_entering` takes them, R [G H, H], number of vectors,
    vectors and states before) -> the outputs [T, B, H] and the states after."""

    @staticmethod
    def forward(
        ctx: Any,
        passes: Passes,
        dtype: torch.dtype,
        x: Tensor,
        tokens: Tensor | None,
        R: Tensor,
        vectors: int,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        batch, size = given[-1].shape
        y = x.new_empty(len(x if tokens is None else tokens), batch, size)
        product = fixed_product(R.to(dtype), batch)
        run = Forward(_entering(x, tokens), given[vectors:], given[:vectors], lambda h: product(h.to(dtype)), y)
        others, saved = passes[0](run)
        ctx.save_for_backward(tokens, R, y, *given, *saved)
        ctx.passes, ctx.dtype, ctx.vectors, ctx.given, ctx.shape = passes, dtype, vectors, len(given), x.shape
        return y, y[-1].clone(), *others

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *ends: Tensor) -> tuple[Tensor | None, ...]:
        tokens, R, y, *more = ctx.saved_tensors
        given, saved = more[: ctx.given], more[ctx.given :]
        vectors, start = given[: ctx.vectors], given[ctx.vectors :]
        product = fixed_product(R.to(ctx.dtype).t().contiguous(), y.shape[1])
        pile = R.new_empty(min(PILE, len(y)), y.shape[1], len(R), dtype=ctx.dtype)  # gradients of some steps' products
        dR = torch.zeros_like(R)
        entering = _InputGradient(ctx.shape, tokens, dy)

        def back(t: int, du: Tensor) -> Tensor:
            place = t % PILE
            gradient = pile[place].copy_(du)
            entering.put(t)
            if place == 0:
                end = min(t + PILE, len(y))
                before = y[t - 1 : end - 1] if t else torch.cat([start[0].unsqueeze(0), y[: end - 1]])
                dR.add_(once_product(pile[: end - t].flatten(0, 1), before.to(ctx.dtype).flatten(0, 1)))
            return product(gradient).to(du.dtype)

        run = Backward(dy, ends, start, vectors, y, saved, entering.places, back)
        d_vectors, d_start = ctx.passes[1](run)
        return None, None, entering.whole, None, dR, None, *d_vectors, *d_start


PASSES: dict[type[Cell], Passes] = {
    RNN: (_tanh_rnn_forward, _tanh_rnn_backward),
    GRU: (_gru_forward, _gru_backward),
    LSTM: (_lstm_forward, _lstm_backward),
}
_RELU: Passes = (_relu_rnn_forward, _relu_rnn_backward)


def whole_loop(layer: Any, projected: Tensor, state: LayerState) -> tuple[Tensor, LayerState] | None:
    """Outputs [T, B, H] and the state after, from a projected input [T, B, G H]; None where the loop must do it."""
    return _whole(layer, projected, None, state, projected.shape[1])


def whole_loop_of_tokens(
    layer: Any, table: Tensor, tokens: Tensor, state: LayerState
) -> tuple[Tensor, LayerState] | None:
    """The same from ``tokens`` [T, B] and a table [V, G H] with the projected input of each; None also for one so large
    that its gradient would be more than that of some steps."""
    if len(table) > PIECE * tokens.shape[1] or not len(tokens):
        return None
    return _whole(layer, table, tokens, state, tokens.shape[1])


def _whole(
    layer: Any, x: Tensor, tokens: Tensor | None, state: LayerState, batch: int
) -> tuple[Tensor, LayerState] | None:
    cell: Cell = layer.cell
    passes = PASSES.get(type(cell))
    if passes is None or x.device.type != "cpu" or x.dtype not in NUMPY_HAS or not torch.is_grad_enabled():
        return None
    if cell.options.get("activation") == "relu":
        passes = _RELU
    vectors, states = list(layer.p.values()), [state[name] for name in cell.state]
    if any(value.shape != (batch, layer.hidden_size) or value.dtype != x.dtype for value in states):
        return None  # the loop says what is wrong with it
    if not any(value.requires_grad for value in (x, layer.R["h"], *vectors, *states)):
        return None
    y, *after = _Whole.apply(  # type: ignore[no-untyped-call]
        passes, layer.product_dtype, x, tokens, layer.R["h"], len(vectors), *vectors, *states
    )
    return y, dict(zip(cell.state, after, strict=True))
