"""Regularisation that recurrent models profit from: masks of weights and embeddings, penalties on the activations.

A mask of weights is made once for a whole step of training, outside the time loop, and put where the layer's own
matrix stands: the loop with its deferred weight gradient, the scan, torch's fused kernels and those of plugins all see
a layer whose recurrent matrix happens to have zeros, and know nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from cells.classifier import TextClassifier
from cells.model import Block, LanguageModel


@dataclass(frozen=True)
class Regularisation:
    """What is done to a model while it trains. Sources:

    ``weights``: DropConnect on the recurrent matrices, one mask for a sequence (Merity, Keskar and Socher 2018,
    "Regularizing and Optimizing LSTM Language Models", section 2). ``embedding``: dropout of whole rows of the
    embedding, so that a token is missing wherever it stands (Gal and Ghahramani 2016, section 4.2). ``activation`` and
    ``temporal``: the weights of AR and TAR (Merity, McCann and Socher 2017, "Revisiting Activation Regularization for
    Language RNNs", equations 1 and 2), as means over all entries.
    """

    weights: float = 0.0
    embedding: float = 0.0
    activation: float = 0.0
    temporal: float = 0.0

    @contextlib.contextmanager
    def masked(self, model: LanguageModel) -> Iterator[None]:
        """While entered, the model runs with masked weights; gradients reach the weights behind the masks.

        What stays is scaled by 1 / (1 - share), as dropout does. A readout that shares the embedding keeps it whole.
        """
        with contextlib.ExitStack() as held:
            if self.weights:
                for layer in model.recurrent_layers:
                    for name, matrix in list(layer.R.items()):
                        held.enter_context(_in_place_of(layer.R, name, F.dropout(matrix, self.weights)))
            if self.embedding:
                whole = model.embedding.weight
                rows = F.dropout(whole.new_ones(len(whole), 1), self.embedding)
                held.enter_context(_in_place_of(model.embedding, "weight", whole * rows))
            yield

    def penalty(self, given: Tensor, output: Tensor) -> Tensor | None:
        """AR on what the readout is ``given`` [T, B, H] and TAR on the last layer's ``output`` before its dropout.

        None if neither is wanted. TAR needs two steps; over a single one it is 0.
        """
        total = None
        if self.activation:
            total = self.activation * given.float().square().mean()
        if self.temporal and len(output) > 1:
            change = self.temporal * (output[1:] - output[:-1]).float().square().mean()
            total = change if total is None else total + change
        return total


@contextlib.contextmanager
def _in_place_of(module: nn.Module, name: str, value: Tensor) -> Iterator[None]:
    """While entered, ``module.name`` is ``value``, a tensor made from the parameter that it otherwise is."""
    own = module._parameters[name]
    module._parameters[name] = value  # type: ignore[assignment]
    try:
        yield
    finally:
        module._parameters[name] = own


def locked_dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Dropout of ``x`` [T, B, H] with one mask for all T steps (Gal and Ghahramani 2016, "A Theoretically Grounded
    Application of Dropout in Recurrent Neural Networks", section 4)."""
    if not training or share == 0:
        return x
    return x * F.dropout(x.new_ones(1, *x.shape[1:]), share)


def lock_dropout(model: LanguageModel | TextClassifier) -> None:
    """Make every layer's dropout a locked one."""
    if isinstance(model, TextClassifier):
        model.drop = locked_dropout
        return
    for block in model.blocks:
        assert isinstance(block, Block)
        block.drop = locked_dropout
