"""Initial weights, by the names that the training texts give them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cells.classifier import TextClassifier
from cells.errors import UsageError
from cells.model import LanguageModel

SCHEMES = ("default", "glorot", "orthogonal", "he", "normal:STD")

Fill = Callable[[Tensor], object]


@torch.no_grad()
def initialise(model: LanguageModel | TextClassifier, scheme: str = "default", seed: int = 0) -> None:
    """Give every parameter of ``model`` its initial value; the same scheme and seed give the same weights.

    Each gate's block of a matrix is drawn on its own. ``default``: uniform +-1/sqrt(H) as torch.nn; ``glorot``: Glorot
    and Bengio 2010, eq. 16; ``orthogonal``: recurrent matrices orthogonal (Saxe et al. 2014), the others Glorot;
    ``he``: He et al. 2015, normal with variance 2/fan-in; ``normal:STD``: normal with that standard deviation.
    Biases and per-unit vectors start as the cell declares; the unknown token's embedding is 0.

    Raises UsageError for a scheme that does not exist.
    """
    recurrent, other, embedding = fills(scheme)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        _embed(model, embedding)
        for layer in model.recurrent_layers:
            _fill_gates(layer.W, layer.hidden_size, other or _uniform(layer.hidden_size))
            for matrix in layer.R.values():
                _fill_gates(matrix, layer.hidden_size, recurrent or _uniform(layer.hidden_size))
            layer.reset_declared()
        if not model.config.tie:
            (other or _uniform(model.config.hidden_size))(model.readout.weight)
        model.readout.bias.zero_()
        if isinstance(model, LanguageModel) and model.labels is not None:
            model.labels.reset_parameters()
    finally:
        torch.random.set_rng_state(generator_state)


def fills(scheme: str) -> tuple[Fill | None, Fill | None, Fill | None]:
    """How a scheme fills recurrent matrices, other matrices and the embedding; None is the default's way."""
    if scheme == "default":
        return None, None, None
    if scheme == "glorot":
        return nn.init.xavier_uniform_, nn.init.xavier_uniform_, None
    if scheme == "orthogonal":
        return nn.init.orthogonal_, nn.init.xavier_uniform_, None
    if scheme == "he":
        return _he, _he, None
    name, _, text = scheme.partition(":")
    try:
        std = float(text)
    except ValueError:
        std = math.nan
    if name != "normal" or not 0 < std < math.inf:
        raise UsageError(f"init must be one of {', '.join(SCHEMES)} (STD a number above 0), not {scheme!r}")
    return (normal := _normal(std)), normal, normal


def _embed(model: LanguageModel | TextClassifier, fill: Fill | None) -> None:
    """Unit normal as torch.nn.Embedding; smaller where the readout shares it, so that the first logits are small."""
    weight = model.embedding.weight
    if fill is None:
        weight.normal_(0.0, model.config.embedding**-0.5 if model.config.tie else 1.0)
    else:
        fill(weight)
    if model.config.unknown_id is not None:
        weight[model.config.unknown_id] = 0.0


def _fill_gates(matrix: Tensor, hidden_size: int, fill: Fill) -> None:
    for block in matrix.view(-1, hidden_size, matrix.shape[1]):
        fill(block)


def _uniform(size: int) -> Fill:
    return lambda matrix: matrix.uniform_(-(size**-0.5), size**-0.5)


def _normal(std: float) -> Fill:
    return lambda matrix: matrix.normal_(0.0, std)


def _he(matrix: Tensor) -> None:
    nn.init.kaiming_normal_(matrix, nonlinearity="relu")
