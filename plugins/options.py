"""The declaration of one option: its flag, validation, help and place in the REPL come from it. No torch, no click."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cells.errors import CelloquyError, UsageError

_TRUE = ("on", "true", "yes", "1")
_FALSE = ("off", "false", "no", "0")


@dataclass(frozen=True)
class Option:
    """One option. ``kind`` is ``int``, ``float``, ``bool``, ``str`` or ``"choice"``.

    ``name`` stands as on the command line without dashes (``top-p``); ``default`` None means that the option may be
    left unset. With ``multiple`` the value is a tuple. ``step`` is how far a live knob turns, 0 for no knob;
    ``command`` is the REPL command where that is not the name; ``check`` raises UsageError for text that will not do.
    """

    name: str
    kind: Any
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    choices: tuple[str, ...] = ()
    short: str = ""
    step: float = 0
    command: str = ""
    multiple: bool = False
    metavar: str = ""
    check: Callable[[str], object] | None = None

    def __post_init__(self) -> None:
        """Refuse a declaration that cannot work, so that a plugin's mistake is found when it loads."""
        words = self.name.split("-") if isinstance(self.name, str) else []
        if not words or not all(word.isalnum() and word.isascii() for word in words) or not self.key.isidentifier():
            raise CelloquyError(f"option name {self.name!r} must be words of letters and digits joined by dashes")
        if self.kind not in (int, float, bool, str, "choice"):
            raise CelloquyError(
                f"option {self.name}: kind must be int, float, bool, str or 'choice', not {self.kind!r}"
            )
        if (self.kind == "choice") != bool(self.choices):
            raise CelloquyError(f"option {self.name}: choices belong to kind 'choice', and it needs them")
        self.validate(self.default)

    @property
    def key(self) -> str:
        """The name as a Python name: ``top_p``."""
        return self.name.replace("-", "_")

    @property
    def allowed(self) -> str:
        """What may be given, in words: "a number from 0 to 1"."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "on or off"
        if self.kind is str:
            return "text"
        return ("a whole number" if self.kind is int else "a number") + self._range

    @property
    def _range(self) -> str:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and not self.exclusive_minimum and not self.exclusive_maximum:
            return f" from {low:g} to {high:g}"
        parts = []
        if low is not None:
            parts.append(f" above {low:g}" if self.exclusive_minimum else f" of at least {low:g}")
        if high is not None:
            parts.append(f" below {high:g}" if self.exclusive_maximum else f" of at most {high:g}")
        return " and".join(parts)

    def validate(self, value: Any) -> Any:
        """The value in the option's own type; UsageError names the option, what is allowed and what was given."""
        if self.multiple:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise self._refusal(value)
            return tuple(self._validate_one(item) for item in value)
        if value is None and self.default is None:
            return None
        return self._validate_one(value)

    def _validate_one(self, value: Any) -> Any:
        if self.kind in (int, float):
            return self._number(value)
        if self.kind is bool:
            fits = isinstance(value, bool)
        else:
            fits = isinstance(value, str) and (self.kind is str or value in self.choices)
        if not fits:
            raise self._refusal(value)
        if self.check is not None:
            self.check(value)
        return value

    def _number(self, value: Any) -> int | float:
        if isinstance(value, bool | str | bytes):
            raise self._refusal(value)
        number: int | float
        try:
            number = operator.index(value) if self.kind is int else float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refusal(value) from None
        if not self._in_range(number):
            raise self._refusal(value)
        return number

    def _in_range(self, number: int | float) -> bool:
        if isinstance(number, float) and not math.isfinite(number):
            return False
        low, high = self.minimum, self.maximum
        if low is not None and (number < low or (self.exclusive_minimum and number == low)):
            return False
        return high is None or number < high or (number == high and not self.exclusive_maximum)

    def _refusal(self, value: Any) -> UsageError:
        try:
            shown = repr(value)
        except ValueError:  # a whole number of thousands of digits, which Python refuses to write
            shown = "a number without end"
        if len(shown) > 60:
            shown = shown[:57] + "…"
        return UsageError(f"{self.name} must be {self.allowed}, not {shown}")

    def parse(self, text: str) -> Any:
        """The value that a person typed: a number, ``on``/``off``, a choice or text. UsageError if it is not one."""
        if self.multiple:
            return (self._parse_one(text),)
        if self.default is None and self.kind is not str and text.strip().lower() in ("none", ""):
            return None
        return self._parse_one(text)

    def _parse_one(self, text: str) -> Any:
        if self.kind is str:
            return text
        word = text.strip()
        if self.kind == "choice":
            return self._validate_one(word)
        if self.kind is bool:
            if word.lower() in _TRUE:
                return True
            if word.lower() in _FALSE:
                return False
            raise self._refusal(word)
        try:
            number = self.kind(word)
        except ValueError:
            raise self._refusal(word) from None
        return self._validate_one(number)

    def format(self, value: Any) -> str:
        """The value as a person would type it: ``0.8``, ``on``, ``none``."""
        if value is None:
            return "none"
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, tuple):
            return ", ".join(self.format(item) for item in value)
        return f"{value:g}" if isinstance(value, float) else str(value)


class OptionSet:
    """Options in order, found by name or key; both are unique."""

    def __init__(self, options: Iterable[Option] = ()) -> None:
        self._options: dict[str, Option] = {}
        for option in options:
            if option.key in self._options:
                raise CelloquyError(f"option {option.name} is declared twice")
            self._options[option.key] = option

    def __iter__(self) -> Iterator[Option]:
        return iter(self._options.values())

    def __len__(self) -> int:
        return len(self._options)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.replace("-", "_") in self._options

    def __getitem__(self, name: str) -> Option:
        """The option of this name (``top-p``) or key (``top_p``); UsageError lists the ones there are."""
        try:
            return self._options[name.replace("-", "_")]
        except KeyError:
            known = ", ".join(option.name for option in self) or "none"
            raise UsageError(f"there is no option {name!r}; there are: {known}") from None

    def __add__(self, other: Iterable[Option]) -> OptionSet:
        return OptionSet([*self, *other])

    def defaults(self) -> dict[str, Any]:
        """Every option's default, by key."""
        return {key: option.validate(option.default) for key, option in self._options.items()}

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every option by key: what ``values`` (by key or name) gives, checked, or its default. UsageError if wrong."""
        given = {self[name].key: value for name, value in values.items()}
        return {
            key: option.validate(given[key]) if key in given else option.validate(option.default)
            for key, option in self._options.items()
        }
