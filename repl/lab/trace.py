"""One step of any cell, watched from inside: which value belongs to which gate, and by which expression.

A cell's ``step`` is plain tensor arithmetic, so running it under a torch function mode shows every operation. What the
author wrote becomes a tree of nodes; a gate's value is the first squashing function of that gate's projections alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cells.bundle import named
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.state import LayerState
from cells.stepping import call_step

SQUASHING = frozenset(
    (
        *("sigmoid", "tanh", "relu", "exp", "softplus", "log_sigmoid", "logsigmoid", "silu", "gelu", "elu"),
        *("leaky_relu", "softsign", "hardsigmoid", "hardtanh", "relu6", "softmax", "sin", "cos"),
    )
)
"""Functions that make a gate's value out of its projections."""

RENAMED = {"rsub": "sub", "rdiv": "div", "rtruediv": "div", "true_divide": "div", "truediv": "div", "rmul": "mul"}
SWAPPED = ("rsub", "rdiv", "rtruediv")


@dataclass(eq=False)
class Node:
    """A value and how it came about.

    ``op`` is input, product, state, vector or constant for a leaf (``name`` says which; a product has its factor as
    argument), else the operation. ``gates`` are the gates whose projections are in it, not yet squashed.
    """

    op: str
    args: tuple[Node | float, ...]
    value: Tensor
    name: str = ""
    gates: frozenset[str] = frozenset()

    @property
    def nodes(self) -> list[Node]:
        """The arguments that are nodes."""
        return [arg for arg in self.args if isinstance(arg, Node)]


@dataclass(frozen=True)
class GateValue:
    """A gate of a step. ``function`` is what squashed it, "" where nothing did; ``value`` is [N, H]."""

    name: str
    function: str
    node: Node

    @property
    def value(self) -> Tensor:
        """The gate's value for every row and unit."""
        return self.node.value


@dataclass(frozen=True)
class StepTrace:
    """One step for N rows: the gates in declared order, the old states and the new ones as nodes."""

    gates: dict[str, GateValue]
    old: LayerState
    new: dict[str, Node]


@dataclass
class Tracer(TorchFunctionMode):
    """Notes every operation on tensors that came from the step's arguments.

    With ``hold`` the gates' values and the recurrent products count as constants for autograd, so that the derivative
    of a new state by an old one is what the gates let through directly.
    """

    hold: bool = False
    squashed: dict[str, GateValue] = field(default_factory=dict)
    sums: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._known: dict[int, Node] = {}
        self._kept: list[Tensor] = []  # ids are only unique while their tensors live

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", str(func)).strip("_")
        if not isinstance(out, Tensor) or name == "get":
            return out
        given = args[::-1] if name in SWAPPED else args
        operands = [self._operand(arg) for arg in given if isinstance(arg, Tensor | int | float)]
        return self._note(Node(RENAMED.get(name, name), tuple(operands), out))

    def _operand(self, value: Any) -> Node | float:
        if not isinstance(value, Tensor):
            return float(value)
        return self._known.get(id(value)) or Node("constant", (), value)

    def leaf(self, value: Tensor, op: str, name: str, gate: str = "", args: tuple[Node | float, ...] = ()) -> Tensor:
        """Make ``value`` known as a leaf; returns the tensor to use for it."""
        node = Node(op, args, value, name, frozenset((gate,)) if gate else frozenset())
        self._known[id(value)] = node
        self._kept.append(value)
        if gate:
            self.sums.setdefault(gate, node)
        return value

    def node(self, value: Tensor) -> Node:
        """The node of a tensor; a constant if nothing is known of it."""
        return self._known.get(id(value)) or Node("constant", (), value)

    def _note(self, node: Node) -> Tensor:
        inside = frozenset[str]().union(*(arg.gates for arg in node.nodes))
        value = node.value
        if node.op in SQUASHING and len(inside) == 1:
            (gate,) = inside
            if gate not in self.squashed:
                if self.hold:
                    value = node.value = value.detach()
                self.squashed[gate] = GateValue(gate, node.op, node)
        elif node.op not in SQUASHING:
            node.gates = inside
            self._note_sum(node)
        self._known[id(value)] = node
        self._kept.append(value)
        return value

    def _note_sum(self, node: Node) -> None:
        """Sums of one gate's own projections (and biases) only: what a gate without a squashing function is."""
        if node.op == "add" and len(node.gates) == 1:
            (gate,) = node.gates
            own = [arg for arg in node.nodes if arg.op == "vector" or self.sums.get(gate) is arg or _leaf_of(arg, gate)]
            if len(own) == 2:
                self.sums[gate] = node


def _leaf_of(node: Node, gate: str) -> bool:
    return node.op in ("input", "product") and gate in node.gates


class TracedGates:
    """What a traced step is given in place of a gate bundle: gates by name, and ``+``."""

    __slots__ = ("_packed", "_parts")
    _parts: dict[str, Tensor]
    _packed: Tensor | None

    def __init__(self, parts: dict[str, Tensor], packed: Tensor | None = None) -> None:
        self._parts = parts
        self._packed = packed  # of the step's input alone: there the engine looks up which shape a state has

    def __getattr__(self, name: str) -> Tensor:
        if name not in self._parts:
            raise AttributeError(f"no gate {name!r} here; there are {', '.join(self._parts)}")
        return self._parts[name]

    def __add__(self, other: Any) -> TracedGates:
        if not isinstance(other, TracedGates):
            return NotImplemented
        if other._parts.keys() != self._parts.keys():
            raise CelloquyError(f"gates {'/'.join(self._parts)} and {'/'.join(other._parts)} cannot be added")
        return TracedGates({name: value + other._parts[name] for name, value in self._parts.items()})


def trace_step(layer: Layer, gates: Tensor, state: Mapping[str, Tensor], *, hold: bool = False) -> StepTrace:
    """Run ``step`` on N rows at once: ``gates`` [N, G, H] is the input projection, ``state`` name -> [N, H].

    The rows may be the steps of one text, each with the state before it: ``step`` is pure and works row by row.
    """
    tracer = Tracer(hold)
    old = {name: value.detach().clone().requires_grad_(hold) for name, value in state.items()}
    names = [*layer.gates, *(gate for fed in layer.recurrent_gates.values() for gate in fed)]
    with torch.set_grad_enabled(hold):
        parts = [part.clone() for part in gates.detach().unbind(-2)]
        inputs = zip(layer.gates, parts, strict=True)
        x: Any = TracedGates({name: tracer.leaf(part, "input", name, name) for name, part in inputs}, gates.detach())
        R = named({name: _product(tracer, layer, name) for name in layer.recurrent_gates})
        p = named({name: tracer.leaf(value.detach(), "vector", name) for name, value in layer.p.items()})
        for name, value in old.items():
            tracer.leaf(value, "state", name)
        with tracer:
            new = call_step(layer.cell, x, old, R, p)
    found = {
        name: tracer.squashed.get(name) or GateValue(name, "", tracer.sums[name])
        for name in dict.fromkeys(names)
        if name in tracer.squashed or name in tracer.sums
    }
    return StepTrace(found, old, {name: tracer.node(value) for name, value in new.items()})


def _product(tracer: Tracer, layer: Layer, name: str) -> Callable[[Tensor], TracedGates]:
    names = layer.recurrent_gates[name]
    weight = layer.R[name].detach()

    def product(rows: Tensor) -> TracedGates:
        factor = tracer.node(rows)
        packed = F.linear(rows.detach() if tracer.hold else rows, weight).view(len(rows), len(names), -1)
        parts = {gate: packed.select(1, number).clone() for number, gate in enumerate(names)}
        return TracedGates({gate: tracer.leaf(part, "product", name, gate, (factor,)) for gate, part in parts.items()})

    return product
