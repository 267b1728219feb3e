"""An untrained network with every switch of the gradient lab, and the sets of them that show one cure each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cells.cell import Cell
from cells.errors import UsageError

if TYPE_CHECKING:
    from cells.model import LanguageModel
    from plugins.registry import Registry

VOCABULARY = 64
"""Tokens of the random text that untrained networks read."""


@dataclass(frozen=True)
class Variant:
    """One untrained network. ``scale`` multiplies its recurrent matrices; ``bias`` sets gates' biases, ("f", 5.0)."""

    cell: str = "rnn"
    activation: str = ""
    init: str = "default"
    scale: float = 1.0
    norm: str = "none"
    layers: int = 1
    residual: bool = False
    bias: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str:
        """The cell and every switch that is not at its default."""
        words = [self.cell]
        words += [self.activation] * bool(self.activation)
        words += [self.init] * (self.init != "default")
        words += [f"×{self.scale:g}"] * (self.scale != 1.0)
        words += [f"{gate}={value:g}" for gate, value in self.bias]
        words += [f"{self.norm} norm"] * (self.norm != "none")
        words += [f"{self.layers} layers"] * (self.layers != 1)
        words += ["residual"] * self.residual
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """The switches as JSON values."""
        return {**dataclasses.asdict(self), "bias": dict(self.bias), "label": self.label}


CURES: dict[str, tuple[str, tuple[Variant, ...]]] = {
    "overview": (
        "Vanishing, exploding, carried",
        (Variant(), Variant(scale=6.0), Variant("gru"), Variant("lstm"), Variant("lstm", bias=(("f", 5.0),))),
    ),
    "activation": (
        "Activation: the slope that every step multiplies in",
        tuple(Variant(activation=name, init="he") for name in ("tanh", "relu", "sigmoid")),
    ),
    "init": (
        "Initial weights",
        tuple(Variant(init=name) for name in ("normal:0.01", "default", "glorot", "orthogonal", "he")),
    ),
    "norm": (
        "Normalisation inside the recurrence",
        tuple(
            Variant(init=init, scale=scale, norm=norm)
            for init, scale in (("normal:0.01", 1.0), ("default", 6.0))
            for norm in ("none", "layer", "batch")
        ),
    ),
    "residual": ("Residual layers", (Variant(layers=8), Variant(layers=8, residual=True))),
    "gates": (
        "Gates",
        (
            Variant(),
            *(Variant("gru", bias=bias) for bias in ((), (("z", 5.0),))),
            *(Variant("lstm", bias=bias) for bias in ((), (("f", 5.0),))),
        ),
    ),
}
"""Name -> (title, the networks whose curves show it); gradient clipping has a picture of its own."""


def combinations(switches: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """Every combination of the listed values, the first switch varying slowest."""
    return [Variant(**dict(zip(switches, values, strict=True))) for values in itertools.product(*switches.values())]


def make_cell(variant: Variant, registry: Registry) -> Cell:
    """The cell of a variant; UsageError if the activation is not one that it can take."""
    from repl.lab.cures import Normalised, PlainRNN

    if variant.activation and variant.cell == "rnn":
        cell: Cell = PlainRNN(variant.activation)
    elif variant.activation:
        defaults = registry.cell_class(variant.cell).option_defaults()
        if "activation" not in defaults:
            raise UsageError(f"cell {variant.cell} has no activation to choose; rnn has tanh, relu and sigmoid")
        cell = registry.create_cell(variant.cell, {"activation": variant.activation})
    else:
        cell = registry.create_cell(variant.cell)
    return cell if variant.norm == "none" else Normalised(cell, variant.norm)


def build(variant: Variant, registry: Registry, *, hidden: int = 64, seed: int = 1) -> LanguageModel:
    """The untrained network in float64, ready to be measured. Deterministic in ``seed``."""
    import torch

    from cells.initialise import initialise
    from cells.model import LanguageModel, ModelConfig

    config = ModelConfig(VOCABULARY, hidden, num_layers=variant.layers, residual=variant.residual)
    model = LanguageModel(make_cell(variant, registry), config).double()
    initialise(model, variant.init, seed)
    with torch.no_grad():
        for layer in model.recurrent_layers:
            for matrix in layer.R.values():
                matrix.mul_(variant.scale)
            blocks = dict(zip(layer.gates, layer.b.view(-1, hidden), strict=True))
            for gate, value in variant.bias:
                if gate not in blocks:
                    raise UsageError(f"cell {variant.cell} has no gate {gate!r}; it has {', '.join(layer.gates)}")
                blocks[gate].fill_(value)
    return model.eval()
