"""When training has gone wrong: a loss that is not a number, or far above what knowing nothing would give."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from cells.errors import CelloquyError

MOST_LOWERED = 8
"""How often a run may go back and halve its learning rate before it gives up."""

SUSPECT_STEPS = 20
"""A state saved fewer steps before the trouble is suspect itself; the one saved before it is taken."""


class Diverged(CelloquyError):
    """The loss or the weights can no longer be used."""


def check_loss(mean: float, norm: float, lowest: float | None, choices: int, step: int) -> None:
    """Diverged if the mean loss (nats) or the gradient's norm is not finite, or the loss has exploded.

    Exploded is a loss above 2 ln V + 1, where V ``choices`` all equally likely give ln V, in a run whose ``lowest`` was
    not.
    """
    if not math.isfinite(mean) or not math.isfinite(norm):
        raise Diverged(f"the loss is no longer a finite number at step {step}")
    bound = 2 * math.log(choices) + 1
    if lowest is not None and lowest <= bound < mean:
        raise Diverged(f"the loss has exploded from {lowest:.2f} to {mean:.2f} at step {step}")


def check_weights(tensors: Mapping[str, Tensor], step: int) -> None:
    """Diverged if a tensor that is about to be saved as a good state holds anything that is not finite.

    States that begin at infinity by their cell's own wish are not looked at.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not name.startswith("state.") and not bool(torch.isfinite(tensor).all()):
            raise Diverged(f"the weights are no longer finite numbers at step {step}")
