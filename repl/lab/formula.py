"""A traced step as equations: in symbols, and with one unit's numbers in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from repl.lab.trace import Node, StepTrace

SIGNS = {"add": (" + ", 1), "sub": (" − ", 1), "mul": ("·", 2), "div": ("/", 2), "pow": ("^", 4)}
"""How an operation is written, and how strongly it binds."""

NAMES = {"sigmoid": "σ", "log_sigmoid": "log σ", "logsigmoid": "log σ", "maximum": "max", "minimum": "min"}
NEGATION = 3
ATOM = 9
Part = tuple[str, int]
"""A piece of a formula, and how strongly its outermost operation binds."""

SHAPE_ONLY = ("expand", "expand_as", "view", "view_as", "clone", "detach", "contiguous", "to", "float", "double")
"""Operations that change no number; they are not written."""


@dataclass(frozen=True)
class Equation:
    """``symbol = formula = numbers = value`` for one row and unit."""

    symbol: str
    formula: str
    numbers: str
    value: float

    def line(self) -> str:
        """The equation on one line; what stands there already is not repeated."""
        parts = dict.fromkeys((self.formula, self.numbers, number(self.value)))
        return " = ".join([self.symbol, *parts])


def equations(step: StepTrace, row: int, unit: int) -> list[Equation]:
    """The step's gates and new states in the order in which one needs the other."""
    symbols = _symbols(step)
    several = len({node.name for node in _all(step) if node.op == "product"}) > 1
    found: dict[int, Equation] = {}

    def visit(node: Node) -> None:
        for below in node.nodes:
            visit(below)
        if id(node) in symbols and id(node) not in found:
            found[id(node)] = _equation(node, symbols, several, row, unit)

    for node in [*(gate.node for gate in step.gates.values()), *step.new.values()]:
        visit(node)
    return list(found.values())


def _symbols(step: StepTrace) -> dict[int, str]:
    """What is named: new states with a prime, gates by their names (with a tilde where a state has the same)."""
    symbols = {id(gate.node): gate.name + ("~" if gate.name in step.old else "") for gate in step.gates.values()}
    for name, node in step.new.items():
        symbols[id(node)] = f"{name}'"
    return symbols


def _all(step: StepTrace) -> Iterator[Node]:
    waiting, seen = list(step.new.values()), set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting += node.nodes


def _equation(node: Node, symbols: dict[int, str], several: bool, row: int, unit: int) -> Equation:
    def as_symbol(leaf: Node) -> Part:
        if leaf is not node and id(leaf) in symbols:
            return symbols[id(leaf)], ATOM
        return _leaf(leaf, as_symbols, several)

    def as_number(leaf: Node) -> Part:
        return number(value_at(leaf.value, row, unit)), ATOM

    as_symbols = _Writer(as_symbol, symbols, node)
    as_numbers = _Writer(as_number, symbols, node)
    return Equation(symbols[id(node)], as_symbols(node)[0], as_numbers(node)[0], value_at(node.value, row, unit))


def _leaf(node: Node, write: _Writer, several: bool) -> Part:
    """``W_f·x + b_f`` is one number, and so is ``R_f·h``; a vector is ``p_f``; a state is its name."""
    (gate,) = node.gates or ("",)
    if node.op == "input":
        return f"W_{gate}·x + b_{gate}", SIGNS["add"][1]
    if node.op == "product":
        matrix = f"{node.name}_{gate}" if several and node.name != gate else gate
        return f"R_{matrix}·{_inside(write(node.nodes[0]), ATOM)}", SIGNS["mul"][1]
    if node.op == "vector":
        return f"p_{node.name}", ATOM
    return node.name or "k", ATOM


class _Writer:
    """Writes a node down and says how strongly its outermost operation binds; ``leaf`` writes what is not taken apart.

    Whatever has a symbol is a leaf, except ``top``, which is being defined.
    """

    def __init__(self, leaf: Callable[[Node], Part], symbols: dict[int, str], top: Node) -> None:
        self.leaf = leaf
        self.symbols = symbols
        self.top = top

    def __call__(self, node: Node) -> Part:
        if (node is not self.top and id(node) in self.symbols) or not node.args or node.op == "product":
            return self.leaf(node)
        if node.op in SHAPE_ONLY:
            return self(node.nodes[0])
        parts = [self(arg) if isinstance(arg, Node) else (number(arg), ATOM) for arg in node.args]
        if node.op == "neg":
            return f"−{_bracketed(_inside(parts[0], NEGATION))}", NEGATION
        if node.op in SIGNS and len(parts) == 2:
            return _operation(node.op, *parts)
        return f"{NAMES.get(node.op, node.op)}({', '.join(text for text, _ in parts)})", ATOM


def _operation(op: str, left: Part, right: Part) -> Part:
    sign, binds = SIGNS[op]
    if op == "add" and right[1] == ATOM and right[0].startswith("−"):
        return f"{left[0]} − {right[0][1:]}", binds  # 1 + −2 is written 1 − 2
    # on the right of a minus or a division the same strength needs brackets too
    text = _inside(right, binds + (op in ("sub", "div")))
    return f"{_inside(left, binds)}{sign}{_bracketed(text)}", binds


def _bracketed(text: str) -> str:
    """A negative number in brackets, since two signs never stand side by side."""
    return f"({text})" if text.startswith("−") else text


def _inside(part: Part, binds: int) -> str:
    text, own = part
    return text if own >= binds else f"({text})"


def value_at(value: Tensor, row: int, unit: int) -> float:
    """One number of a value [N, H], [H] or [] (as broadcasting has it)."""
    if value.dim() == 0:
        return float(value)
    if value.dim() == 1:
        return float(value[unit if value.shape[0] > 1 else 0])
    return float(value[row if value.shape[0] > 1 else 0, unit if value.shape[1] > 1 else 0])


def number(value: float) -> str:
    """Three decimals, more where they would all be 0; a true minus sign."""
    if value != value or abs(value) == float("inf"):
        return {"inf": "∞", "-inf": "−∞"}.get(str(value), "undefined")
    if value == int(value) and abs(value) < 1000:
        return str(int(value)).replace("-", "−")
    text = f"{value:.3f}" if abs(value) >= 0.0995 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")
