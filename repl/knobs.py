"""What a person may turn while text streams: each knob has a title, a present value, a next and a previous one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from plugins.options import Option


class Knob(ABC):
    """One thing to turn. ``name`` finds it, ``title`` and ``description`` are for people."""

    def __init__(self, name: str, title: str, description: str) -> None:
        self.name = name
        self.title = title
        self.description = description

    @property
    @abstractmethod
    def value(self) -> str:
        """The present value, as a person would type it."""

    @abstractmethod
    def next(self) -> None:
        """Turn it up by one step; at the end it stays."""

    @abstractmethod
    def previous(self) -> None:
        """Turn it down by one step; at the end it stays."""

    @property
    def neutral(self) -> bool:
        """Whether it does nothing at its present value, so that the status line may leave it out."""
        return False


class OptionKnob(Knob):
    """A sampling option, built in or a plugin's: turned by its own step within its own bounds."""

    def __init__(self, option: Option, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        super().__init__(option.name, option.name, option.help)
        self.option = option
        self._read = read
        self._write = write

    @property
    def value(self) -> str:
        value = self._read()
        return f"{value:.2f}" if isinstance(value, float) else self.option.format(value)

    @property
    def neutral(self) -> bool:
        return bool(self._read() == self.option.default)

    def next(self) -> None:
        self._turn(1)

    def previous(self) -> None:
        self._turn(-1)

    def _turn(self, direction: int) -> None:
        option, value = self.option, self._read()
        if option.kind == "choice":
            self._write(_neighbour(option.choices, value, direction))
        elif option.kind is bool:
            self._write(direction > 0)
        else:
            self._write(_stepped(option, value, direction))


def _stepped(option: Option, value: Any, direction: int) -> Any:
    """The value a step away, on the grid of the steps and within bounds. Decimal, since 0.1 + 0.2 is a number too."""
    step = Decimal(str(option.step))
    start = Decimal(str(value if value is not None else option.minimum or 0))
    moved = start + direction * step
    if option.minimum is not None:
        lowest = Decimal(str(option.minimum)) + (step if option.exclusive_minimum else 0)
        moved = max(moved, min(lowest, start))
    if option.maximum is not None:
        highest = Decimal(str(option.maximum)) - (step if option.exclusive_maximum else 0)
        moved = min(moved, max(highest, start))
    return option.validate(int(moved) if option.kind is int else float(moved))


class ChoiceKnob(Knob):
    """One of several names in a fixed order; ``around`` goes on from the last to the first."""

    def __init__(
        self,
        name: str,
        title: str,
        description: str,
        choices: Callable[[], Sequence[str]],
        read: Callable[[], str],
        write: Callable[[str], None],
        *,
        around: bool = False,
        neutral: str | None = None,
    ) -> None:
        super().__init__(name, title, description)
        self._choices = choices
        self._read = read
        self._write = write
        self._around = around
        self._neutral = neutral

    @property
    def value(self) -> str:
        return self._read()

    @property
    def neutral(self) -> bool:
        return self._read() == self._neutral

    def next(self) -> None:
        self._turn(1)

    def previous(self) -> None:
        self._turn(-1)

    def _turn(self, direction: int) -> None:
        before = self._read()
        after = _neighbour(self._choices(), before, direction, around=self._around)
        if after != before:
            self._write(after)


class ScaleKnob(Knob):
    """A number that moves along a scale of useful values: lengths and speeds, where even steps would be dull.

    0 stands for no limit, so it is the last of the scale; ``zero`` is what to call it.
    """

    def __init__(
        self,
        name: str,
        title: str,
        description: str,
        scale: Sequence[int],
        read: Callable[[], int],
        write: Callable[[int], None],
        *,
        zero: str,
        neutral: int | None = None,
    ) -> None:
        super().__init__(name, title, description)
        self._scale = sorted(scale, key=_unlimited)
        self._read = read
        self._write = write
        self._zero = zero
        self._neutral = neutral

    @property
    def value(self) -> str:
        return str(self._read()) if self._read() else self._zero

    @property
    def neutral(self) -> bool:
        return self._read() == self._neutral

    def next(self) -> None:
        above = [mark for mark in self._scale if _unlimited(mark) > _unlimited(self._read())]
        if above:
            self._write(above[0])

    def previous(self) -> None:
        below = [mark for mark in self._scale if _unlimited(mark) < _unlimited(self._read())]
        if below:
            self._write(below[-1])


def _unlimited(mark: int) -> float:
    return mark or float("inf")


class Knobs:
    """All knobs in order, found by name."""

    def __init__(self, knobs: Sequence[Knob]) -> None:
        self._knobs = {knob.name: knob for knob in knobs}

    def __iter__(self) -> Iterator[Knob]:
        return iter(self._knobs.values())

    def __len__(self) -> int:
        return len(self._knobs)

    def __contains__(self, name: object) -> bool:
        return name in self._knobs

    def __getitem__(self, name: str) -> Knob:
        return self._knobs[name]

    def turn(self, name: str, direction: int) -> None:
        """One step up or down."""
        knob = self._knobs[name]
        if direction > 0:
            knob.next()
        else:
            knob.previous()


def _neighbour(choices: Sequence[str], present: Any, direction: int, *, around: bool = False) -> str:
    if present not in choices:
        return choices[0] if choices else str(present)
    place = choices.index(present) + direction
    if around:
        return choices[place % len(choices)]
    return choices[min(max(place, 0), len(choices) - 1)]
