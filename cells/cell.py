"""The cell protocol: what an author of a recurrent cell writes. Importing this module does not import torch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Gates = str | Sequence[str]


class Cell:
    """A recurrent cell: declarations, plus one pure function ``step`` that computes the new state from the old one.

    Declarations (class attributes, or instance attributes set in ``__init__`` when they depend on an option):

    - ``input``: gates fed by the input projection ``W x + b``; ``"ifgo"`` or ``("input", "forget")``.
    - ``recurrent``: name of a recurrent matrix -> the gates it feeds.
    - ``state``: name -> initial value. The first one is the cell's output.
    - ``bias``: input gate -> initial bias, where that is not 0.
    - ``vectors``: name -> initial value of a learned per-unit parameter.
    - ``affine``: the new state is affine in the old one (and there is no recurrent matrix), so the engine may scan.
    - ``version``: raise it when the equations change; a checkpoint of another version is refused.

    Options are the constructor's arguments; all need defaults that are numbers, strings, booleans or None.
    """

    input: Gates = ""
    recurrent: Mapping[str, Gates] = {}
    state: Mapping[str, float] = {"h": 0.0}
    bias: Mapping[str, float] = {}
    vectors: Mapping[str, float] = {}
    affine: bool = False
    version: int = 1

    _options: dict[str, Any]
    _label: str

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Remember the constructor's arguments as the cell's options, defaults included."""
        cell = super().__new__(cls)
        signature = _init_signature(cls)
        try:
            bound = signature.bind(*args, **options)
        except TypeError as error:
            known = ", ".join(signature.parameters) or "none"
            raise UsageError(f"cell {cls.__name__}: {error} (its options: {known})") from error
        bound.apply_defaults()
        cell._options = dict(bound.arguments)
        cell._label = cls.__name__
        return cell

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments by name, defaults included; a checkpoint keeps them."""
        return dict(self._options)

    @property
    def label(self) -> str:
        """What error messages call this cell; the registry sets it to the registered name and its distribution."""
        return self._label

    @classmethod
    def option_defaults(cls) -> dict[str, Any]:
        """The default of each option, by name."""
        return {name: parameter.default for name, parameter in _init_signature(cls).parameters.items()}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, Tensor]:
        """One time step.

        ``x.gate`` is the input projection of a gate [B, H]; ``s.name`` the old state [B, H]; ``R.name(v)`` the product
        of a recurrent matrix with ``v`` [B, H], giving its gates; ``p.name`` a per-unit vector [H]. Returns the new
        value of every state, [B, H] each. Must be pure: no attribute is set, no argument changed, no random number.
        """
        raise CelloquyError(f"cell {self.label} has no step(self, x, s, R, p)")


def _init_signature(cls: type[Cell]) -> inspect.Signature:
    if cls.__init__ is object.__init__:
        return inspect.Signature()
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return inspect.Signature(parameters)


def gate_names(gates: Gates) -> tuple[str, ...]:
    """The gates of a declaration as a tuple: each character of a string, or each item of a sequence."""
    return tuple(gates)


def output_name(cell: Cell) -> str:
    """The name of the state that is the cell's output: the first."""
    return next(iter(cell.state))


def check_declaration(cell: Cell) -> None:
    """Raise a one-line CelloquyError if the declarations of ``cell`` contradict each other or cannot be used."""
    who = f"cell {cell.label}"
    inputs = gate_names(cell.input)
    _check_names(inputs, f"{who}: input")
    if not inputs:
        raise CelloquyError(f"{who}: input names no gate, so the cell would never see its input")
    for name, gates in cell.recurrent.items():
        _check_names((name,), f"{who}: recurrent")
        _check_names(gate_names(gates), f"{who}: recurrent[{name!r}]")
        if not gate_names(gates):
            raise CelloquyError(f"{who}: recurrent[{name!r}] feeds no gate")
    if not cell.state:
        raise CelloquyError(f"{who}: state is empty; its first entry is the output")
    _check_numbers(cell.state, f"{who}: state", infinite=True)
    _check_numbers(cell.vectors, f"{who}: vectors")
    _check_numbers(cell.bias, f"{who}: bias")
    for gate in cell.bias:
        if gate not in inputs:
            raise CelloquyError(f"{who}: bias names gate {gate!r}, which is not in input {'/'.join(inputs)}")
    if cell.affine and cell.recurrent:
        raise CelloquyError(f"{who}: affine = True excludes recurrent matrices (it has {', '.join(cell.recurrent)})")
    if not isinstance(cell.version, int) or isinstance(cell.version, bool) or cell.version < 1:
        raise CelloquyError(f"{who}: version must be a whole number from 1, not {cell.version!r}")
    for name, value in cell.options.items():
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise CelloquyError(f"{who}: option {name} must be a number, string, boolean or None, not {value!r}")


def _check_names(names: Iterable[Any], where: str) -> None:
    seen = set()
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise CelloquyError(f"{where}: {name!r} is not a name (letters and digits, no leading underscore)")
        if name in seen:
            raise CelloquyError(f"{where}: {name!r} stands twice")
        seen.add(name)


def _check_numbers(values: Mapping[str, Any], where: str, infinite: bool = False) -> None:
    _check_names(values, where)
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        if not number or (math.isinf(value) and not infinite):
            raise CelloquyError(f"{where}[{name!r}] must be a number, not {value!r}")
