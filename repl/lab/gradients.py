"""The gradient of the loss at time t with respect to the states k steps before, for any cell and any depth."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cells.cell import output_name
from cells.model import LanguageModel
from repl.lab.jacobian import jacobian_products
from repl.lab.replay import LayerReplay, replay

LARGEST_JACOBIAN = 2048
"""State coordinates of a layer up to which the product of Jacobians is computed: beyond, it takes minutes."""


@dataclass(frozen=True)
class GradientCurve:
    """Norms over lag k = 0, 1, ... for one state of one layer: the median over the rows, and the quartiles."""

    layer: int
    state: str
    median: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class GradientStudy:
    """What was measured of one network. Layers count from 1; ``log_singular`` is natural, None where left out."""

    label: str
    curves: list[GradientCurve]
    output: str
    log_singular: list[float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return max(curve.layer for curve in self.curves)

    def curve(self, state: str, layer: int = 0) -> GradientCurve:
        """The curve of one state; layer 0 is the last."""
        wanted = layer or self.layers
        return next(curve for curve in self.curves if curve.state == state and curve.layer == wanted)

    @property
    def reference(self) -> float:
        """|dL_t / dh_t| of the last layer: what the other norms are compared with."""
        return self.curve(self.output).median[0]

    def to_json(self) -> dict[str, Any]:
        """Every number; what is not finite is null."""
        return {
            "label": self.label,
            **self.facts,
            "reference": _json(self.reference),
            "states": [
                {
                    "layer": curve.layer,
                    "state": curve.state,
                    "median": _numbers(curve.median),
                    "quartiles": [_numbers(curve.low), _numbers(curve.high)],
                    "per_step": _json(per_step(curve.median)),
                }
                for curve in self.curves
            ],
            "log10_largest_singular_value": None
            if self.log_singular is None
            else _numbers([value / math.log(10) for value in self.log_singular]),
        }


def measure(
    model: LanguageModel, tokens: Tensor, label: str = "", *, jacobian: bool = True, **facts: Any
) -> GradientStudy:
    """Read ``tokens`` [T + 1, B], the last of each row being the target of the loss, and measure back from there.

    The loss is the cross-entropy of the last prediction alone, for each row; its gradient with respect to a state at
    t - k is what backpropagation through time multiplies together (Hochreiter 1991; Bengio, Simard and Frasconi 1994;
    Pascanu, Mikolov and Bengio 2013, eq. 4-5). Computed in float64, in a copy of the model.
    """
    cell = model.cell  # shared: a cell holds no numbers, and one wrapped for the lab could not be copied
    model = copy.deepcopy(model, {id(cell): cell}).double().eval().requires_grad_()
    model.compute_dtype = None
    layers, hidden = replay(model, tokens[:-1])
    loss = F.cross_entropy(model.read(hidden[-1]), tokens[-1], reduction="sum")
    curves = [_curve(number, name, run, loss) for number, run in enumerate(layers, 1) for name in run.start]
    top = layers[-1]
    coordinates = top.layer.hidden_size * len(top.start)
    wanted = jacobian and coordinates <= LARGEST_JACOBIAN
    singular = jacobian_products(top) if wanted else None
    return GradientStudy(label, curves, output_name(model.cell), singular, dict(facts))


def _curve(number: int, name: str, run: LayerReplay, loss: Tensor) -> GradientCurve:
    values = [state[name] for state in run.states]
    found = torch.autograd.grad(loss, values, allow_unused=True, retain_graph=True)
    norms = [row_norms(torch.zeros_like(value) if g is None else g) for g, value in zip(found, values, strict=True)]
    quartiles = torch.stack(norms[::-1]).quantile(torch.tensor([0.25, 0.5, 0.75], dtype=loss.dtype), dim=1)
    low, median, high = quartiles.tolist()
    return GradientCurve(number, name, median, low, high)


def row_norms(rows: Tensor) -> Tensor:
    """The Euclidean norm of each row of [B, H], without underflow of the squares."""
    largest = rows.abs().amax(1, keepdim=True)
    safe = torch.where(largest > 0, largest, torch.ones_like(largest))
    scaled: Tensor = torch.linalg.vector_norm(rows / safe, dim=1)
    return scaled * largest.squeeze(1)


def per_step(norms: Sequence[float]) -> float:
    """The mean factor by which a curve changes from one lag to the next: the slope of its logarithm, fitted.

    Lags at which the norm is 0 or not finite are left out; NaN if fewer than two remain.
    """
    points = [(k, math.log(value)) for k, value in enumerate(norms) if 0.0 < value < math.inf]
    if len(points) < 2:
        return math.nan
    mean_k = sum(k for k, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((k - mean_k) * (y - mean_y) for k, y in points) / sum((k - mean_k) ** 2 for k, _ in points)
    return math.exp(slope)


def random_tokens(vocabulary: int, length: int, batch: int, seed: int) -> Tensor:
    """Tokens drawn evenly, [length + 2, batch], the same for the same seed: a text without any structure.

    Measured, they give lags 0 to ``length``.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (length + 2, batch), generator=generator)


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_json(value) for value in values]
