"""Recurrent states: a list with one dict a layer, name -> [B, H]. Small, and never changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

LayerState = dict[str, Tensor]
State = list[LayerState]


def detach(state: State) -> State:
    """The same values, cut off from the graph that made them: what truncated backpropagation carries on."""
    return [{name: value.detach() for name, value in layer.items()} for layer in state]


def clone(state: State) -> State:
    """A copy that shares no memory."""
    return [{name: value.clone() for name, value in layer.items()} for layer in state]


def select(state: State, rows: Tensor | Sequence[int]) -> State:
    """The given rows of the batch, as a new state."""
    first = next(iter(state[0].values()))
    index = torch.as_tensor(rows, dtype=torch.int64, device=first.device)
    return [{name: value.index_select(0, index) for name, value in layer.items()} for layer in state]


def stack(states: Sequence[State]) -> State:
    """Several states as one batch, in order."""
    return [
        {name: torch.cat([state[number][name] for state in states]) for name in layer}
        for number, layer in enumerate(states[0])
    ]


def to(state: State, device: torch.device | str) -> State:
    """The state on another device."""
    return [{name: value.to(device) for name, value in layer.items()} for layer in state]


def _numbered(state: State) -> Iterator[tuple[str, Tensor]]:
    for number, layer in enumerate(state):
        for name, value in layer.items():
            yield f"{number}.{name}", value


def state_tensors(state: State) -> dict[str, Tensor]:
    """The state as a flat dict, ``"0.h"`` -> [B, H], for a file."""
    return dict(_numbered(state))


def state_from_tensors(tensors: Mapping[str, Tensor]) -> State:
    """The inverse of :func:`state_tensors`."""
    layers: dict[int, LayerState] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        layers.setdefault(int(number), {})[name] = value
    return [layers[number] for number in sorted(layers)]
