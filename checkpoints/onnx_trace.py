"""One step of a model written down as a list of tensor operations, by watching torch compute it.

The cell's own ``step`` runs once; every operation that reaches torch's dispatcher is noted with what it read and made.
So a stranger's cell is exported as well as a built-in one, as long as the exporter knows its operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cells.bundle import GateBundle, named
from cells.cell import output_name
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.model import Block, LanguageModel
from cells.state import LayerState, State
from cells.stepping import call_step


@dataclass(frozen=True)
class Call:
    """One operation: its name (``aten.mul.Tensor``), what it was given, and the tensors it made."""

    name: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    results: tuple[Tensor, ...]


@dataclass
class Trace:
    """A step as operations from ``inputs`` to ``outputs``, tensors by name; ``batch`` is the size that stands for any.

    ``batch`` equals no other size in the model, so that a shape that mentions it can be told.
    """

    batch: int
    inputs: dict[str, Tensor]
    parameters: dict[str, Tensor]
    calls: list[Call] = field(default_factory=list)
    outputs: dict[str, Tensor] = field(default_factory=dict)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, calls: list[Call]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        results = tuple(made) if isinstance(made, tuple | list) else (made,)
        tensors = tuple(one for one in results if isinstance(one, Tensor))
        self._calls.append(Call(str(func), tuple(args), dict(kwargs or {}), tensors))
        return made


def state_name(layer: int, state: str) -> str:
    """How a state of a layer is named outside: ``h_0``."""
    return f"{state}_{layer}"


@torch.no_grad()
def trace_step(model: LanguageModel) -> Trace:
    """The step of a model: inputs ``token`` [B] and each state [B, H]; outputs ``logits`` [B, V] and ``next_…``."""
    if model.labels is not None:
        raise CelloquyError("a model that labels steer cannot be written as ONNX; its states alone are not its input")
    batch = _distinct_size(model)
    token = torch.zeros(batch, dtype=torch.int64)
    state = [{name: value.clone() for name, value in layer.items()} for layer in model.initial_state(batch)]
    inputs = {"token": token} | {
        state_name(number, name): value for number, layer in enumerate(state) for name, value in layer.items()
    }
    trace = Trace(batch, inputs, {name: parameter.detach() for name, parameter in model.named_parameters()})
    with _Recorder(trace.calls):
        logits, after = _step(model, token, state)
    trace.outputs = {"logits": logits} | {
        f"next_{state_name(number, name)}": value for number, layer in enumerate(after) for name, value in layer.items()
    }
    return trace


def _distinct_size(model: LanguageModel) -> int:
    """A batch size that is no other size of the model."""
    sizes = {size for parameter in model.parameters() for size in parameter.shape}
    sizes |= {layer.hidden_size for layer in model.recurrent_layers}
    sizes |= {len(layer.gates) for layer in model.recurrent_layers}
    return next(size for size in range(7, 10_000) if size not in sizes)


def _step(model: LanguageModel, token: Tensor, state: State) -> tuple[Tensor, State]:
    x = F.embedding(token, model.embedding.weight)
    after: State = []
    for block, layer_state in zip(model.blocks, state, strict=True):
        assert isinstance(block, Block)
        new = _layer_step(block.recurrent, block.before(x), layer_state)
        y = new[output_name(model.cell)]
        x = x + y if block.residual else y
        after.append(new)
    return model.read(x), after


def _layer_step(layer: Layer, x: Tensor, state: LayerState) -> LayerState:
    def product(name: str, gates: Sequence[str]) -> Any:
        weight = layer.R[name]
        return lambda rows: GateBundle(F.linear(rows, weight).view(-1, len(gates), layer.hidden_size), tuple(gates))

    projected = F.linear(x, layer.W, layer.b).view(-1, len(layer.gates), layer.hidden_size)
    R = named({name: product(name, gates) for name, gates in layer.recurrent_gates.items()})
    return call_step(layer.cell, GateBundle(projected, layer.gates), state, R, named(dict(layer.p)))
