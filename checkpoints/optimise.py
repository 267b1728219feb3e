"""The optimizers, and their memory as named tensors for the resume state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from cells.errors import CelloquyError
from checkpoints.options import TrainOptions

BETAS = (0.9, 0.99)


def make_optimizer(model: nn.Module, options: TrainOptions) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019), or SGD, with momentum unless that is 0. Biases have no weight decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if options.optimizer == "sgd":
        return SGD(groups, lr=options.lr, momentum=options.momentum, fused=fused)
    return AdamW(groups, lr=options.lr, betas=BETAS, fused=fused)


def clip_gradient(parameters: Sequence[Tensor], limit: float, kind: str) -> Tensor:
    """Bound the gradient in place; returns the norm that it had before. ``limit`` 0 leaves it as it is.

    ``norm`` scales the whole gradient to at most that norm (Pascanu, Mikolov and Bengio 2013, algorithm 1); ``value``
    cuts every entry off at +-``limit`` (Graves 2013, section 2.1).
    """
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit if limit and kind == "norm" else math.inf)
    if limit and kind == "value":
        torch.nn.utils.clip_grad_value_(parameters, limit)
    return norm


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """What the optimizer remembers, ``parameter/key`` -> tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`optimizer_tensors`. CelloquyError if the tensors are not those of this model."""
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for place, value in tensors.items():
        name, _, key = place.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None or (value.ndim > 0 and value.shape != parameter.shape):
            raise CelloquyError(f"the resume state does not fit the model: {place}")
        where = "cpu" if key == "step" and parameter.device.type == "cpu" else parameter.device
        optimizer.state[parameter][key] = torch.empty_like(value, device=where).copy_(value)
