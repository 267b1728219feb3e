"""Many steps of one text with the draw inside, as one function of tensors: what a compiler can make a program of.

Weights are arguments, so that one program serves every checkpoint of the same cell and sizes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.layer import Layer
from cells.model import Block, LanguageModel
from cells.state import LayerState, State
from cells.stepping import call_step

CAPACITY = 256
"""Steps of one call, at most."""

AT_ONCE = 4
"""Steps between two looks at whether there are more to do: a look costs 2 us, each step here seconds of compiling."""


class DecodeBlock(nn.Module):
    """Up to ``CAPACITY`` steps of one row. Holds the model's structure; its weights are handed in (:func:`weights`).

    A token is drawn as ``repl.sampling.draw`` draws it, in float64 by the inverse distribution: the same number gives
    the same token, unless the arithmetic's last bits decide between two. The cell's ``step`` is run once, here, and
    its operations are written down; whatever Python it contains happens then.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self._layers = [(block.recurrent, block.residual) for block in model.blocks if isinstance(block, Block)]
        self._names = list(weights(model))
        self._once: Any = self._written_down(model)

    @torch.no_grad()
    def _written_down(self, model: LanguageModel) -> nn.Module:
        from torch.fx.experimental.proxy_tensor import make_fx

        given, state, token, *rest = example(model)
        start = (torch.zeros((), dtype=torch.int64), token, torch.zeros(CAPACITY, dtype=torch.int64))
        nats = torch.zeros(CAPACITY, dtype=torch.float64)

        def once(*arguments: Any) -> tuple[Tensor, ...]:  # make_fx counts a bound method's self as an argument
            return self._step(*arguments)

        return make_fx(once)(*start, nats, state, rest[:-1], given)

    def _step(
        self,
        place: Tensor,
        token: Tensor,
        tokens: Tensor,
        nats: Tensor,
        old: list[Tensor],
        drawing: list[Tensor],
        given: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """``AT_ONCE`` steps: the next place, the last token, everything drawn so far, the new state."""
        uniforms, temperature, banned = drawing
        by_name, state = dict(zip(self._names, given, strict=True)), old
        numbers = uniforms.index_select(0, place + torch.arange(AT_ONCE))
        drawn, surprises = [], []
        for u in numbers.view(AT_ONCE, 1).unbind(0):
            logits, state = self._up(by_name, token, state)
            token, surprise = _draw(logits, u, temperature, banned)
            drawn.append(token)
            surprises.append(surprise)
        here = torch.arange(CAPACITY) // AT_ONCE == place // AT_ONCE
        again = CAPACITY // AT_ONCE
        tokens = torch.where(here, torch.cat(drawn).repeat(again), tokens)
        nats = torch.where(here, torch.cat(surprises).repeat(again), nats)
        state = [new.clone() if new is before else new for new, before in zip(state, old, strict=True)]
        return place + AT_ONCE, token, tokens, nats, *state

    def _up(self, given: dict[str, Tensor], token: Tensor, old: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Logits [V] after ``token``, and the new state."""
        x = None if "embedding" not in given else given["embedding"].index_select(0, token)
        above = given["table"].index_select(0, token)
        values = list(old)
        after: list[Tensor] = []
        for number, (layer, residual) in enumerate(self._layers):
            own = {name.partition(".")[2]: value for name, value in given.items() if name.startswith(f"{number}.")}
            if number:
                assert x is not None
                above = _linear(_normal(x, own), own["W"], own["b"])
            state = {name: values.pop(0) for name in layer.cell.state}
            new = _layer_step(layer, own, above, state)
            after.extend(new.values())
            output = new[output_name(layer.cell)]
            x = x + output if residual and x is not None else output
        assert x is not None
        return _linear(_normal(x, given), given["readout.weight"], given["readout.bias"])[0], after

    def forward(
        self,
        given: list[Tensor],
        state: list[Tensor],
        token: Tensor,
        uniforms: Tensor,
        temperature: Tensor,
        banned: Tensor,
        limit: Tensor,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Tokens [K] drawn after ``token`` [1], the surprise of each in nats [K], and the state [1, H] each before the
        last token drawn.

        ``uniforms`` [K] in [0, 1) and ``temperature`` (0 for the likeliest: then every uniform must be 0) are float64,
        ``banned`` [V] bool. The first ``limit`` places of the results are filled; the state is theirs if that is a
        multiple of ``AT_ONCE``.
        """
        from torch._higher_order_ops.while_loop import while_loop

        def unfinished(place: Tensor, *_: Tensor) -> Tensor:
            return place < limit

        def once(place: Tensor, token: Tensor, tokens: Tensor, nats: Tensor, *old: Tensor) -> tuple[Tensor, ...]:
            drawing = [uniforms, temperature, banned]
            return self._once(place, token, tokens, nats, list(old), drawing, given)  # type: ignore[no-any-return]

        tokens, nats = torch.zeros(CAPACITY, dtype=torch.int64), torch.zeros(CAPACITY, dtype=torch.float64)
        start = (torch.zeros((), dtype=torch.int64), token.clone(), tokens, nats)
        done = while_loop(unfinished, once, (*start, *(value.clone() for value in state)))  # type: ignore[no-untyped-call]
        return done[2], done[3], list(done[4:])


def _layer_step(layer: Layer, own: dict[str, Tensor], projected: Tensor, state: LayerState) -> LayerState:
    def product(name: str, gates: tuple[str, ...]) -> Any:
        weight, shape = own[f"R.{name}"], (1, len(gates), layer.hidden_size)
        return lambda rows: GateBundle(torch.mv(weight, rows.reshape(-1)).view(shape), gates)

    R = named({name: product(name, gates) for name, gates in layer.recurrent_gates.items()})
    p = named({name: own[f"p.{name}"] for name in layer.p})
    x = GateBundle(projected.view(1, len(layer.gates), layer.hidden_size), layer.gates)
    new = call_step(layer.cell, x, state, R, p)
    return {name: new[name] for name in state}


def _linear(row: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (torch.mv(weight, row[0]) + bias).unsqueeze(0)


def _normal(x: Tensor, own: dict[str, Tensor]) -> Tensor:
    if "norm.weight" not in own:
        return x
    return F.layer_norm(x, x.shape[-1:], own["norm.weight"], own["norm.bias"])


def _draw(logits: Tensor, u: Tensor, temperature: Tensor, banned: Tensor) -> tuple[Tensor, Tensor]:
    """The token [1] at ``u`` [1], and its surprise [1] by the model itself; see ``repl.sampling``."""
    wide = logits.double()
    allowed = torch.where(banned, -torch.inf, wide)
    shifted = allowed - allowed.max()
    scaled = torch.where(shifted == 0, shifted, shifted / temperature)
    cumulative = scaled.exp().cumsum(0)
    total = cumulative[-1]
    reached, last = (cumulative <= u * total).sum(), (cumulative < total).sum()
    token = torch.minimum(reached, last).view(1)
    return token, torch.logsumexp(wide, 0) - wide.index_select(0, token)


@torch.no_grad()
def weights(model: LanguageModel) -> dict[str, Tensor]:
    """What :class:`DecodeBlock` is given, by name: the model's present weights, the token table folded."""
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    first, embedding = blocks[0], model.embedding.weight
    found = {"table": F.linear(first.before(embedding), first.recurrent.W, first.recurrent.b)}
    if first.residual:
        found["embedding"] = embedding
    for number, block in enumerate(blocks):
        layer = block.recurrent
        if number:
            found |= {f"{number}.W": layer.W, f"{number}.b": layer.b}
            if block.norm is not None:
                found |= {f"{number}.norm.weight": block.norm.weight, f"{number}.norm.bias": block.norm.bias}
        found |= {f"{number}.R.{name}": matrix for name, matrix in layer.R.items()}
        found |= {f"{number}.p.{name}": vector for name, vector in layer.p.items()}
    if model.final_norm is not None:
        found |= {"norm.weight": model.final_norm.weight, "norm.bias": model.final_norm.bias}
    found |= {"readout.weight": model.readout.weight, "readout.bias": model.readout.bias}
    return {name: value.detach().contiguous() for name, value in found.items()}


@torch.no_grad()
def example(model: LanguageModel) -> tuple[Any, ...]:
    """Arguments of :meth:`DecodeBlock.forward` for a model, of the right shapes: its weights, and some beginning."""
    drawing = (torch.full((CAPACITY,), 0.5, dtype=torch.float64), torch.ones((), dtype=torch.float64))
    banned = torch.zeros(model.config.vocabulary_size, dtype=torch.bool)
    start = (list(weights(model).values()), flat(model.initial_state(1)), torch.zeros(1, dtype=torch.int64))
    return (*start, *drawing, banned, torch.tensor(CAPACITY))


def flat(state: State) -> list[Tensor]:
    """A state as :class:`DecodeBlock` is given it."""
    return [value for layer in state for value in layer.values()]


def unflat(values: list[Tensor], like: State) -> State:
    """The inverse of :func:`flat`."""
    rest = iter(values)
    return [{name: next(rest) for name in layer} for layer in like]
