"""What a stream yields: text that knows how it came about."""

from __future__ import annotations

from typing import Literal

from repl.sampling import Array, as_logits, entropies, surprises

Finish = Literal["length", "stop"]


class Piece(str):
    """The text that one token completed; perhaps none, when the token is a part of a character.

    ``token`` is its id, or -1 for a piece that closes a stream without one. ``finish`` says why the stream ends with
    this piece, None while it goes on. Surprise and entropy are worked out when they are asked for.
    """

    __slots__ = ("_logits", "finish", "token")

    token: int
    finish: Finish | None
    _logits: Array | None

    def __new__(cls, text: str, token: int = -1, logits: Array | None = None, finish: Finish | None = None) -> Piece:
        """``logits`` [V] are the model's own, from which the token was drawn."""
        piece = super().__new__(cls, text)
        piece.token = token
        piece._logits = logits
        piece.finish = finish
        return piece

    @property
    def surprise(self) -> float:
        """-log p(token) by the model itself, at temperature 1 and with nothing filtered; nats."""
        return 0.0 if self._logits is None else float(surprises(as_logits(self._logits), self.token))

    @property
    def entropy(self) -> float:
        """The surprise that the model itself expected here; nats."""
        return 0.0 if self._logits is None else float(entropies(as_logits(self._logits)))

    def cut(self, text: str) -> Piece:
        """The same piece with another text: the part of it that lies before a stop."""
        return Piece(text, self.token, self._logits, self.finish)
