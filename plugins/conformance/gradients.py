"""Checks of a cell's gradients: right, complete, finite over long sequences."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError
from torch.autograd.gradcheck import gradcheck as compare_with_differences

from cells.errors import CelloquyError
from cells.layer import Layer
from plugins.conformance.subject import Subject

LONG = 2000
TOO_LARGE = 5.0


def gradcheck(subject: Subject) -> None:
    """Gradients equal finite differences in float64: of the input, a state that is not zero, and every parameter."""
    case = subject.case(length=3, batch=2, inputs=2, hidden=3)
    x = case.x.clone().requires_grad_()
    state = {name: value.clone().requires_grad_() for name, value in case.state.items()}
    parameters = dict(case.layer.named_parameters())

    def run(*_: Tensor) -> tuple[Tensor, ...]:
        y, final = case.layer(x, state)
        return y, *final.values()

    named = {"the input": x, **{f"state {name}": value for name, value in state.items()}, **parameters}
    for name, value in named.items():
        try:
            compare_with_differences(run, (value,), eps=1e-6, atol=1e-5, rtol=1e-3)
        except GradcheckError as error:
            raise CelloquyError(f"the gradient of {name} differs from finite differences") from error


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """No gate, matrix or vector is declared and then not used."""
    case = subject.case()
    y, final = subject.run(case)
    total: Tensor = y.square().sum() + sum((value.square().sum() for value in final.values()), y.new_zeros(()))
    parameters = dict(case.layer.named_parameters())
    values = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    for name, gradient in _parts(case.layer, dict(zip(parameters, values, strict=True))).items():
        if gradient is None or not bool(gradient.abs().max() > 0):
            raise CelloquyError(f"{name} gets no gradient: it is declared, but step does not use it")


def _parts(layer: Layer, gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """The gradient of each gate's part of each parameter, by a name that an author understands."""
    parts: dict[str, Tensor | None] = {}

    def add(gradient: Tensor | None, gates: tuple[str, ...], name: str) -> None:
        slices = [None] * len(gates) if gradient is None else gradient.chunk(len(gates))
        parts.update((name.format(gate), part) for gate, part in zip(gates, slices, strict=True))

    add(gradients["W"], layer.gates, "input gate {}")
    for matrix, gates in layer.recurrent_gates.items():
        add(gradients[f"R.{matrix}"], gates, f"gate {{}} of recurrent matrix {matrix}")
    for vector in layer.p:
        parts[f"vector {vector}"] = gradients[f"p.{vector}"]
    return parts


def finite_over_long_sequences(subject: Subject) -> None:
    """Forward and backward stay finite over 2000 steps of inputs five times too large, in float32."""
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        layer = Layer(subject.cell, 8, 8)
    x = (TOO_LARGE * torch.randn(LONG, 2, 8, generator=generator)).requires_grad_()
    y, final = layer(x)
    for name, value in {"the output": y, **{f"state {name}": value for name, value in final.items()}}.items():
        if not bool(value.isfinite().all()):
            raise CelloquyError(f"{name} is not finite within {LONG} steps of inputs {TOO_LARGE:g} times too large")
    named = {"the input": x, **dict(layer.named_parameters())}
    gradients = torch.autograd.grad(y.sum(), list(named.values()), allow_unused=True)
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is not None and not bool(gradient.isfinite().all()):
            raise CelloquyError(f"the gradient of {name} is not finite over {LONG} steps")
