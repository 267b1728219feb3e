"""What the registry keeps: an entry for each cell, sampler, plugin and failure. Classes are imported when used."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cells.cell import Cell
from cells.errors import CelloquyError
from plugins.guard import Blame
from plugins.options import Option, OptionSet
from plugins.sampler import RESERVED, RESERVED_SHORTS, Sampler, Stream

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def _nobody(message: str) -> None:
    return None


@dataclass
class PluginInfo:
    """One plugin: where it came from and what it brought."""

    name: str
    distribution: str
    distribution_version: str
    source: str
    builtin: bool = False
    cells: list[str] = field(default_factory=list)
    samplers: list[str] = field(default_factory=list)
    kernels: bool = False

    @property
    def label(self) -> str:
        """The distribution with its version, as messages name it."""
        return f"{self.distribution} {self.distribution_version}".strip()


@dataclass(frozen=True)
class PluginFailure:
    """A fault of a plugin that was met and fenced; ``str()`` is the one line to show."""

    plugin: str
    distribution: str
    message: str

    def __str__(self) -> str:
        where = "" if self.plugin == self.distribution else f" of {self.distribution}"
        return f"plugin {self.plugin}{where}: {self.message}"


def load_target(target: Any, kind: type, who: str) -> Any:
    """The class behind a target: itself, or what ``"package.module:Class"`` names; a CelloquyError begins with ``who``.

    ``kind`` is what it must be a subclass of.
    """
    with Blame(who):
        if isinstance(target, str):
            module, _, name = target.partition(":")
            target = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    if not (isinstance(target, type) and issubclass(target, kind)):
        raise CelloquyError(f"{who}: {target!r} is not a subclass of {kind.__name__}")
    if inspect.isabstract(target):
        raise CelloquyError(f"{who}: {_lacking(target)}")
    return target


def check_target(target: Any, kind: type) -> None:
    """Refuse what cannot become a class of ``kind``, without importing anything."""
    if isinstance(target, str):
        module, colon, name = target.partition(":")
        if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise CelloquyError(f"{target!r} must be of the form package.module:Class")
    elif not (isinstance(target, type) and issubclass(target, kind)):
        raise CelloquyError(f"{target!r} is neither a subclass of {kind.__name__} nor package.module:Class")
    elif inspect.isabstract(target):
        raise CelloquyError(_lacking(target))


def _lacking(target: type) -> str:
    """What a class would have to define so that there can be one of it."""
    methods = ", ".join(sorted(getattr(target, "__abstractmethods__", ())))
    return f"class {target.__name__} does not define {methods}"


@dataclass(frozen=True)
class CellEntry:
    """A registered cell. ``target`` is the class or, for a lazy one, ``"package.module:Class"``."""

    name: str
    summary: str
    distribution: str
    distribution_version: str
    target: Any
    builtin: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise CelloquyError(
                f"cell name {self.name!r} must be lower-case letters, digits, - and _ (it becomes part of file names)"
            )
        if not isinstance(self.summary, str):
            raise CelloquyError(f"cell {self.name}: summary must be text, not {self.summary!r}")
        check_target(self.target, Cell)

    @property
    def label(self) -> str:
        """What error messages call it: the name, with the distribution if that is a stranger's."""
        if self.builtin:
            return self.name
        return f"{self.name} ({self.distribution} {self.distribution_version}".rstrip() + ")"

    def load(self) -> type[Cell]:
        """The cell's class; a CelloquyError names the distribution."""
        cls: type[Cell] = load_target(self.target, Cell, f"cell {self.label}")
        return cls


class SamplerEntry:
    """A registered sampler. Its methods are the sampler's own, loaded at first use and fenced."""

    def __init__(
        self,
        target: Any,
        *,
        name: str = "",
        options: Sequence[Option] | None = None,
        order: float | None = None,
        distribution: str = "",
        distribution_version: str = "",
        builtin: bool = False,
        notice: Callable[[str], None] = _nobody,
    ) -> None:
        check_target(target, Sampler)
        lazy = isinstance(target, str)
        if lazy and (not name or options is None or order is None):
            raise CelloquyError(f"sampler {target!r}: a lazy one needs name=, options= and order=")
        self.name = name or str(target.name)
        self.options: tuple[Option, ...] = tuple(target.options if options is None else options)
        self.order = target.order if order is None else order
        self.distribution = distribution
        self.distribution_version = distribution_version
        self.target = target
        self.builtin = builtin
        self._loaded: Sampler | None = None
        self._notice = notice
        self._complained = False
        self._check()

    def _check(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise CelloquyError(f"sampler name {self.name!r} must be lower-case letters, digits, - and _")
        if isinstance(self.order, bool) or not isinstance(self.order, int | float):
            raise CelloquyError(f"sampler {self.name}: order must be a number, not {self.order!r}")
        if not self.options:
            raise CelloquyError(f"sampler {self.name}: without an option it could never be turned on")
        for option in self.options:
            if not isinstance(option, Option):
                raise CelloquyError(f"sampler {self.name}: {option!r} is not an Option")
            taken = {option.name, option.command} & RESERVED
            if taken:
                raise CelloquyError(f"sampler {self.name}: the option name {taken.pop()} is the program's own")
            if option.short in RESERVED_SHORTS:
                raise CelloquyError(f"sampler {self.name}: {option.short} is the program's own")
        OptionSet(self.options)

    @property
    def label(self) -> str:
        """What error messages call it: the name with the distribution."""
        return f"{self.name} ({self.distribution} {self.distribution_version}".rstrip() + ")"

    @property
    def sampler(self) -> Sampler:
        """The sampler itself, made at first use."""
        if self._loaded is None:
            cls = load_target(self.target, Sampler, f"sampler {self.label}")
            with Blame(f"sampler {self.label}"):
                self._loaded = cls()
        assert self._loaded is not None
        return self._loaded

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether these values change anything. With every option at its default none does, and nothing is loaded."""
        if all(values.get(option.key, option.default) == option.default for option in self.options):
            return False
        with Blame(f"sampler {self.label}"):
            return bool(self.sampler.active(values))

    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """The sampler's new logits [B, V]; a CelloquyError names it if they are not that, or leave no token."""
        with self._fence() as fence:
            new = self.sampler.transform(logits, values, streams)
            if not self.builtin:
                _check_logits(new, logits)
        self._complain(fence.printed)
        return new

    def observe(self, token: int, surprise: float, values: Mapping[str, Any], stream: Stream) -> None:
        """Tell the sampler of a drawn token."""
        with self._fence() as fence:
            self.sampler.observe(token, surprise, values, stream)
        self._complain(fence.printed)

    def _fence(self) -> Blame:
        return Blame(f"sampler {self.label}", quiet=True)

    def _complain(self, printed: bool) -> None:
        if printed and not self._complained:
            self._complained = True
            self._notice(f"sampler {self.label} prints to standard output; the text is left out")


def _check_logits(new: Any, old: Tensor) -> None:
    shape = getattr(new, "shape", None)
    if shape != old.shape:
        found = type(new).__name__ if shape is None else tuple(shape)
        raise CelloquyError(f"transform must return logits of shape {tuple(old.shape)}, not {found}")
    if not bool(new.max(dim=-1).values.isfinite().all()):
        raise CelloquyError("transform left a row with no token to draw, or made NaN or infinity")
