"""The sampling settings of one writer: checked when they are set, read at every token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from plugins.options import OptionSet


class Settings(MutableMapping[str, Any]):
    """Option values by key (``top_p``) or name (``top-p``).

    Setting one checks it (UsageError) and takes effect at the next token; deleting one returns it to its default.
    ``on_change`` is called with the key after each change.
    """

    def __init__(self, options: OptionSet, values: Mapping[str, Any] | None = None) -> None:
        self.options = options
        self.on_change: Callable[[str], None] = _nobody
        self._values = options.validate(values or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name.replace("-", "_")]

    def __setitem__(self, name: str, value: Any) -> None:
        option = self.options[name]
        # A new dict, so that a thread that reads the old one sees it whole.
        self._values = self._values | {option.key: option.validate(value)}
        self.on_change(option.key)

    def __delitem__(self, name: str) -> None:
        self[name] = self.options[name].default

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({self._values!r})"

    @property
    def values_now(self) -> Mapping[str, Any]:
        """All values by key at this moment; the mapping never changes afterwards."""
        return self._values

    def merged(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """These values with others in their place, all checked; the settings themselves stay as they are."""
        return self.options.validate({**self._values, **{self.options[name].key: v for name, v in values.items()}})

    def replace(self, values: Mapping[str, Any]) -> None:
        """Put values in the place of all, quietly: what a snapshot brings back."""
        self._values = self.options.validate(values)


def _nobody(key: str) -> None:
    """Nobody asked to be told."""
