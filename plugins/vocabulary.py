"""What the tokens of a checkpoint read as, for samplers that look at text. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property


class Vocabulary:
    """The bytes of every token, worked out when first asked for; b"" for the unknown token."""

    def __init__(self, make: Callable[[], Sequence[bytes]]) -> None:
        self._make = make

    @cached_property
    def encoded(self) -> tuple[bytes, ...]:
        """The UTF-8 of each token by its id; a token may begin or end within a character."""
        return tuple(self._make())

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of each token by its id; "" for one that is not whole characters, and for the unknown token."""
        return tuple(_text(token) for token in self.encoded)

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {token: id for id, token in reversed([*enumerate(self.encoded)]) if token}

    def token(self, text: str) -> int | None:
        """The id of the token that reads as this text; None if there is none."""
        return self._ids.get(text.encode("utf-8", "surrogatepass"))

    def tail(self, history: Sequence[int], count: int) -> bytes:
        """The last ``count`` bytes, at least if there are as many, of the text of a history."""
        parts: list[bytes] = []
        for token in reversed(history):
            if count <= 0:
                break
            parts.append(self.encoded[token])
            count -= len(parts[-1])
        return b"".join(reversed(parts))


def _text(token: bytes) -> str:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return ""
