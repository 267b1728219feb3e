"""A text read again with every state kept: what the lab's measurements start from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.layer import Layer
from cells.model import Block, LanguageModel
from cells.product import recurrent_product
from cells.state import LayerState, State
from cells.stepping import call_step


@dataclass(frozen=True)
class LayerReplay:
    """One layer over a text: ``gates`` [T, B, G, H] is its input projection, ``states[t]`` the state after step t."""

    layer: Layer
    gates: Tensor
    start: LayerState
    states: list[LayerState]

    def stacked(self, name: str) -> Tensor:
        """One state over time, [T + 1, B, H]: the first row is the state before the text."""
        return torch.stack([self.start[name], *(state[name] for state in self.states)])

    @property
    def output(self) -> Tensor:
        """The layer's output, [T, B, H]."""
        name = output_name(self.layer.cell)
        return torch.stack([state[name] for state in self.states])


def replay(model: LanguageModel, tokens: Tensor, state: State | None = None) -> tuple[list[LayerReplay], Tensor]:
    """Read ``tokens`` [T, B] step by step; every layer's states, and what the readout is given [T, B, H].

    The arithmetic is ``LanguageModel.forward``'s without fused kernels, dropout as the model's mode has it. With
    autograd on, each kept state is a node of its own through which everything later passes, so that a gradient with
    respect to one of several states holds the others fixed (the rows of the step's Jacobian).
    """
    if state is None:
        state = model.initial_state(tokens.shape[1])
    x = model.embedding(model.plain(tokens))
    layers: list[LayerReplay] = []
    for number, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        start = state[number]
        layer = block.recurrent
        given = block.before(x)
        if number == 0 and model.labels is not None:
            label = model.labels(tokens // model.config.vocabulary_size, state[-1])
            given = torch.cat([given, label], -1)
        projected = layer.project(given)
        gates = projected.view(*tokens.shape, len(layer.gates), layer.hidden_size)
        one = LayerReplay(layer, gates, start, _states(layer, gates, start))
        layers.append(one)
        x = block.after(one.output, x if block.residual else None)
    return layers, x


def _states(layer: Layer, gates: Tensor, state: LayerState) -> list[LayerState]:
    R = named(
        {
            name: recurrent_product(layer.R[name], names, gates.shape[1], layer.product_dtype)
            for name, names in layer.recurrent_gates.items()
        }
    )
    p = named(dict(layer.p))
    states = []
    for step in gates.unbind(0):
        new = call_step(layer.cell, GateBundle(step, layer.gates), state, R, p)
        state = {name: value.view_as(value) for name, value in new.items()}
        states.append(state)
    return states
