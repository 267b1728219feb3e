"""Labels that steer: a vector for each label, which joins the token's embedding at every step.

In a text that is learned every token brings its label with it: token t of label k is the number (k + 1) V + t, where V
is the size of the vocabulary. A plain number t < V takes the label of the stream, which is kept in the state as weights
[B, K] over the labels: all 0 is no label, several above 0 are a mixture. As a part of the state it is kept, copied and
come back to with it, and may be another from one token to the next.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cells.state import LayerState, State

LABEL = "label"
"""The name of the weights in the state; they are its last entry, after those of the layers."""


class LabelVectors(nn.Module):
    """The vectors ``weight`` [K, L] of K labels."""

    def __init__(self, labels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(labels, size))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Unit normal, as token embeddings are."""
        if not self.weight.is_meta:
            self.weight.normal_()

    def initial_state(self, batch: int) -> LayerState:
        """No label."""
        return {LABEL: self.weight.new_zeros(batch, len(self.weight))}

    def forward(self, numbers: Tensor, state: LayerState) -> Tensor:
        """The vectors [T, B, L] at each step: of label ``numbers`` - 1 [T, B], or of the stream's where that is 0."""
        own = F.embedding((numbers - 1).clamp(min=0), self.weight)
        return torch.where((numbers > 0).unsqueeze(-1), own, state[LABEL] @ self.weight)


def with_label(state: State, weights: Tensor) -> State:
    """The state with other weights [K] over the labels, in every row; itself if it has them already."""
    if not any(LABEL in layer and not bool((layer[LABEL] == weights).all()) for layer in state):
        return state
    return [
        {LABEL: weights.to(layer[LABEL]).expand_as(layer[LABEL]).clone()} if LABEL in layer else layer
        for layer in state
    ]
