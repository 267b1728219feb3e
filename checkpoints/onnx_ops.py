"""torch's operations in those of ONNX (operator set 17), as far as steps of recurrent cells use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cells.errors import CelloquyError
from checkpoints.onnx_trace import Call

LARGEST_INDEX = (1 << 63) - 1

OPTIONS = frozenset(("alpha", "approximate", "dim", "max", "min", "value"))
"""Keywords that the rules read."""

SILENT = frozenset(("device", "dtype", "layout", "memory_format", "pin_memory"))
"""Keywords that change no number; any other one does, as no rule expects."""


class Graph:
    """Nodes and constants being collected. A tensor is known by its identity; ``name`` gives the name of its value."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._kept: list[Tensor] = []  # alive, so that no identity is given twice
        self._count = 0

    def know(self, tensor: Tensor, name: str) -> None:
        """From now on this tensor is the value ``name``."""
        self._names[id(tensor)] = name
        self._kept.append(tensor)

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor is an input, a constant or the result of a node."""
        return id(tensor) in self._names

    def name(self, value: Any, dtype: torch.dtype = torch.float32) -> str:
        """The name of a tensor's value; a number, or a tensor that nothing made, becomes a constant."""
        if isinstance(value, Tensor):
            if not self.knows(value):
                self.know(value, self.constant(value.detach().clone()))
            return self._names[id(value)]
        return self.constant(torch.tensor(value, dtype=dtype))

    def constant(self, tensor: Tensor) -> str:
        """A new constant."""
        self._count += 1
        name = f"constant_{self._count}"
        self.constants[name] = tensor
        return name

    def node(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append a node; returns the names of what it makes."""
        names = [one if isinstance(one, str) else self.name(one) for one in inputs]
        made = []
        for _ in range(outputs):
            self._count += 1
            made.append(f"{kind.lower()}_{self._count}")
        self.nodes.append((kind, names, made, attributes))
        return made

    def one(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """A node that makes one value."""
        return self.node(kind, *inputs, **attributes)[0]

    def indices(self, *values: int) -> str:
        """A constant of whole numbers."""
        return self.constant(torch.tensor(values, dtype=torch.int64))

    def shape(self, sizes: Sequence[int]) -> str:
        """A constant shape, in which the size of the batch is left open."""
        return self.indices(*(-1 if size == self.batch else size for size in sizes))


Rule = Callable[[Graph, Call], "str | list[str]"]


def add_call(graph: Graph, call: Call, cell: str) -> None:
    """Append what one of torch's operations does. CelloquyError names an operation that has no rule."""
    rule = RULES.get(call.name) or RULES.get(call.name.rpartition(".")[0])
    strange = sorted(call.options.keys() - OPTIONS - SILENT)
    if rule is None or strange:
        used = f"{call.name} with {strange[0]}" if strange else call.name
        raise CelloquyError(f"cell {cell}: its step uses {used}, which the exporter to ONNX does not know")
    made = rule(graph, call)
    names = [made] if isinstance(made, str) else made
    for tensor, name in zip(call.results, names, strict=False):
        graph.know(tensor, name)


def _same(kind: str, inputs: int = 1) -> Rule:
    """An operation that has one of ONNX's for its equal."""
    return lambda graph, call: graph.one(kind, *call.arguments[:inputs])


def _first(graph: Graph, call: Call) -> str:
    return graph.name(call.arguments[0])


def _scaled(graph: Graph, call: Call, place: int = 1) -> str:
    """The operand that ``alpha`` multiplies, times that."""
    operand, alpha = call.arguments[place], call.options.get("alpha", 1)
    return graph.name(operand) if alpha == 1 else graph.one("Mul", operand, graph.name(float(alpha)))


def _rsub(graph: Graph, call: Call) -> str:
    return graph.one("Sub", call.arguments[1], _scaled(graph, call, 0))


def _compare(kind: str, invert: bool = False) -> Rule:
    def rule(graph: Graph, call: Call) -> str:
        found = graph.one(kind, *call.arguments[:2])
        return graph.one("Not", found) if invert else found

    return rule


def _linear(graph: Graph, call: Call) -> str:
    x, weight, *bias = call.arguments
    product = graph.one("MatMul", x, graph.one("Transpose", weight, perm=[1, 0]))
    return graph.one("Add", product, bias[0]) if bias and bias[0] is not None else product


def _addmm(graph: Graph, call: Call) -> str:
    bias, _, right = call.arguments
    return graph.one("Add", graph.one("MatMul", _scaled(graph, call), right), bias)


def _reshape(graph: Graph, call: Call) -> str:
    return graph.one("Reshape", call.arguments[0], graph.shape(call.results[0].shape))


def _transpose(graph: Graph, call: Call) -> str:
    x = call.arguments[0]
    order = list(range(x.dim()))
    one, other = (call.arguments[1], call.arguments[2]) if len(call.arguments) > 1 else (0, x.dim() - 1)
    order[one], order[other] = order[other], order[one]
    return graph.one("Transpose", x, perm=order)


def _permute(graph: Graph, call: Call) -> str:
    x = call.arguments[0]
    return graph.one("Transpose", x, perm=[axis % x.dim() for axis in call.arguments[1]])


def _unbind(graph: Graph, call: Call) -> list[str]:
    x = call.arguments[0]
    axis = (call.arguments[1] if len(call.arguments) > 1 else 0) % x.dim()
    return [graph.one("Gather", x, graph.constant(torch.tensor(number)), axis=axis) for number in range(x.shape[axis])]


def _select(graph: Graph, call: Call) -> str:
    x, axis, number = call.arguments
    return graph.one("Gather", x, graph.constant(torch.tensor(number)), axis=axis % x.dim())


def _slice(graph: Graph, call: Call) -> str:
    given: tuple[Any, ...] = call.arguments
    x, axis, begin, end, step = given + (0, None, None, 1)[len(given) - 1 :]
    end = LARGEST_INDEX if end is None else end
    return graph.one(
        "Slice", x, graph.indices(begin or 0), graph.indices(end), graph.indices(axis % x.dim()), graph.indices(step)
    )


def _split(graph: Graph, call: Call) -> list[str]:
    x = call.arguments[0]
    axis = (call.arguments[2] if len(call.arguments) > 2 else call.options.get("dim", 0)) % x.dim()
    sizes = [part.shape[axis] for part in call.results]
    return graph.node("Split", x, graph.indices(*sizes), outputs=len(sizes), axis=axis)


def _cat(graph: Graph, call: Call) -> str:
    parts = call.arguments[0]
    axis = call.arguments[1] if len(call.arguments) > 1 else 0
    return graph.one("Concat", *parts, axis=axis % parts[0].dim())


def _stack(graph: Graph, call: Call) -> str:
    parts = call.arguments[0]
    axis = (call.arguments[1] if len(call.arguments) > 1 else 0) % (parts[0].dim() + 1)
    return graph.one("Concat", *(graph.one("Unsqueeze", part, graph.indices(axis)) for part in parts), axis=axis)


def _unsqueeze(graph: Graph, call: Call) -> str:
    return graph.one("Unsqueeze", call.arguments[0], graph.indices(call.arguments[1] % call.results[0].dim()))


def _squeeze(graph: Graph, call: Call) -> str:
    return graph.one("Reshape", call.arguments[0], graph.shape(call.results[0].shape))


def _expand(graph: Graph, call: Call) -> str:
    sizes = [1 if size == graph.batch else size for size in call.results[0].shape]
    x = call.arguments[0]
    if graph.batch in call.results[0].shape and graph.batch not in x.shape:
        raise CelloquyError("a value is repeated for each row of the batch, which the exporter cannot leave open")
    return graph.one("Expand", x, graph.indices(*sizes))


def _filled(value: Callable[[Call], float]) -> Rule:
    """A tensor like another, all of one value."""

    def rule(graph: Graph, call: Call) -> str:
        shape = graph.one("Shape", call.arguments[0])
        return graph.one("ConstantOfShape", shape, value=torch.tensor([value(call)]))

    return rule


def _constant(graph: Graph, call: Call) -> str:
    """A tensor made from nothing; it must not depend on the size of the batch."""
    if graph.batch in call.results[0].shape:
        raise CelloquyError(f"{call.name} makes a tensor of the batch's size, which the exporter cannot leave open")
    return graph.constant(call.results[0].detach().clone())


def _normalised(graph: Graph, call: Call) -> str:
    x, sizes, weight, bias, epsilon = call.arguments[:5]
    weight = torch.ones(sizes) if weight is None else weight
    bias = torch.zeros(sizes) if bias is None else bias
    return graph.one("LayerNormalization", x, weight, bias, axis=-len(sizes), epsilon=float(epsilon))


def _embedding(graph: Graph, call: Call) -> str:
    return graph.one("Gather", call.arguments[0], call.arguments[1], axis=0)


def _index_select(graph: Graph, call: Call) -> str:
    x, axis, index = call.arguments
    return graph.one("Gather", x, index, axis=axis % x.dim())


def _clamp(graph: Graph, call: Call) -> str:
    x, low, high = (*call.arguments, None, None)[:3]
    low, high = call.options.get("min", low), call.options.get("max", high)
    made = graph.name(x)
    made = made if low is None else graph.one("Max", made, graph.name(low))
    return made if high is None else graph.one("Min", made, graph.name(high))


def _softplus(graph: Graph, call: Call) -> str:
    if any(argument != default for argument, default in zip(call.arguments[1:], (1, 20), strict=False)):
        raise CelloquyError("softplus with its own beta or threshold is not known to the exporter")
    return graph.one("Softplus", call.arguments[0])


def _log_sigmoid(graph: Graph, call: Call) -> str:
    return graph.one("Neg", graph.one("Softplus", graph.one("Neg", call.arguments[0])))


def _silu(graph: Graph, call: Call) -> str:
    return graph.one("Mul", call.arguments[0], graph.one("Sigmoid", call.arguments[0]))


def _gelu(graph: Graph, call: Call) -> str:
    if call.options.get("approximate", "none") != "none":
        raise CelloquyError("gelu by tanh is not known to the exporter")
    x = call.arguments[0]
    error = graph.one("Erf", graph.one("Mul", x, graph.name(math.sqrt(0.5))))
    return graph.one("Mul", graph.one("Mul", x, graph.name(0.5)), graph.one("Add", error, graph.name(1.0)))


def _product_added(graph: Graph, call: Call) -> str:
    x, one, other = call.arguments
    product = graph.one("Mul", one, other)
    value = call.options.get("value", 1)
    return graph.one("Add", x, product if value == 1 else graph.one("Mul", product, graph.name(float(value))))


def _lerp(graph: Graph, call: Call) -> str:
    begin, end, weight = call.arguments
    return graph.one("Add", begin, graph.one("Mul", weight, graph.one("Sub", end, begin)))


def _softmax(graph: Graph, call: Call) -> str:
    return graph.one("Softmax", call.arguments[0], axis=call.arguments[1])


def _mean(graph: Graph, call: Call) -> str:
    axes = call.arguments[1] if len(call.arguments) > 1 else list(range(call.arguments[0].dim()))
    keep = call.arguments[2] if len(call.arguments) > 2 else False
    return graph.one("ReduceMean", call.arguments[0], axes=list(axes), keepdims=int(keep))


RULES: dict[str, Rule] = {
    "aten.add": lambda graph, call: graph.one("Add", call.arguments[0], _scaled(graph, call)),
    "aten.sub": lambda graph, call: graph.one("Sub", call.arguments[0], _scaled(graph, call)),
    "aten.rsub": _rsub,
    **{f"aten.{name}": _same(kind, 2) for name, kind in (("mul", "Mul"), ("div", "Div"), ("pow", "Pow"))},
    **{f"aten.{name}": _same(kind, 2) for name, kind in (("maximum", "Max"), ("minimum", "Min"), ("mm", "MatMul"))},
    **{
        f"aten.{name}": _same(kind)
        for name, kind in (
            *(("neg", "Neg"), ("exp", "Exp"), ("log", "Log"), ("sigmoid", "Sigmoid"), ("tanh", "Tanh")),
            *(("relu", "Relu"), ("sqrt", "Sqrt"), ("abs", "Abs"), ("reciprocal", "Reciprocal"), ("sign", "Sign")),
            *(("erf", "Erf"), ("sin", "Sin"), ("cos", "Cos"), ("logical_not", "Not")),
        )
    },
    "aten.rsqrt": lambda graph, call: graph.one("Reciprocal", graph.one("Sqrt", call.arguments[0])),
    "aten.log1p": lambda graph, call: graph.one("Log", graph.one("Add", call.arguments[0], graph.name(1.0))),
    "aten.expm1": lambda graph, call: graph.one("Sub", graph.one("Exp", call.arguments[0]), graph.name(1.0)),
    "aten.hardtanh": _clamp,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp,
    "aten.softplus": _softplus,
    "aten.log_sigmoid_forward": _log_sigmoid,
    "aten.silu": _silu,
    "aten.gelu": _gelu,
    "aten._softmax": _softmax,
    "aten.mean": _mean,
    "aten.addcmul": _product_added,
    "aten.lerp": _lerp,
    "aten.where": _same("Where", 3),
    **{f"aten.{name}": _compare(kind) for name, kind in (("gt", "Greater"), ("lt", "Less"), ("eq", "Equal"))},
    **{f"aten.{name}": _compare(kind) for name, kind in (("ge", "GreaterOrEqual"), ("le", "LessOrEqual"))},
    "aten.ne": _compare("Equal", invert=True),
    "aten.linear": _linear,
    "aten.addmm": _addmm,
    "aten.view": _reshape,
    "aten._unsafe_view": _reshape,
    "aten.reshape": _reshape,
    "aten.squeeze": _squeeze,
    "aten.unsqueeze": _unsqueeze,
    "aten.expand": _expand,
    "aten.t": _transpose,
    "aten.transpose": _transpose,
    "aten.permute": _permute,
    "aten.unbind": _unbind,
    "aten.select": _select,
    "aten.slice": _slice,
    "aten.split": _split,
    "aten.split_with_sizes": _split,
    "aten.cat": _cat,
    "aten.stack": _stack,
    "aten.embedding": _embedding,
    "aten.index_select": _index_select,
    "aten.native_layer_norm": _normalised,
    "aten.zeros_like": _filled(lambda call: 0.0),
    "aten.ones_like": _filled(lambda call: 1.0),
    "aten.full_like": _filled(lambda call: float(call.arguments[1])),
    "aten.scalar_tensor": _constant,
    "aten.full": _constant,
    "aten.zeros": _constant,
    "aten.ones": _constant,
    "aten.arange": _constant,
    "aten.lift_fresh": _first,
    "aten.clone": _first,
    "aten.detach": _first,
    "aten.alias": _first,
}
"""By the operation's name, with or without its overload."""
