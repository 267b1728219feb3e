"""The optimizers, and their memory as named tensors for the resume state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from cells.errors import CelloquyError
from checkpoints.options import TrainOptions

BETAS = (0.9, 0.99)
MOMENTUM = 0.9


def make_optimizer(model: nn.Module, options: TrainOptions) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019), or SGD with momentum. Weight decay is for matrices, not for biases."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if options.optimizer == "sgd":
        return SGD(groups, lr=options.lr, momentum=MOMENTUM, fused=fused)
    return AdamW(groups, lr=options.lr, betas=BETAS, fused=fused)


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
