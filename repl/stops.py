"""Stop texts in a stream: nothing of one is ever shown, so what may be the beginning of one is held back."""

from __future__ import annotations

from collections.abc import Sequence

from cells.errors import UsageError
from repl.piece import Piece


def check_stops(stops: Sequence[str]) -> tuple[str, ...]:
    """The stop texts as a tuple; UsageError for an empty one, and for a bare string."""
    if isinstance(stops, str):
        stops = (stops,)
    if any(not isinstance(stop, str) or not stop for stop in stops):
        raise UsageError("a stop text must not be empty")
    return tuple(stops)


class StopWatch:
    """Watches one stream of pieces for the first place where a stop text begins."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held: list[Piece] = []
        self._text = ""
        self.found = False
        self.excess = 0
        """After a stop was found: how many characters of the stream lie behind the place where it begins."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to watch for."""
        return not self._stops

    def push(self, piece: Piece) -> list[Piece]:
        """The pieces that may be shown now. When a stop is found, the last of them, and the end."""
        if not self._stops:
            return [piece]
        self._held.append(piece)
        self._text += piece
        places = [place for stop in self._stops if (place := self._text.find(stop)) >= 0]
        if places:
            self.found = True
            self.excess = len(self._text) - min(places)
            return self._release(min(places), cut=True)
        return self._release(len(self._text) - self._suspicious())

    def flush(self) -> list[Piece]:
        """What is still held back, when the stream ends otherwise."""
        held, self._held, self._text = self._held, [], ""
        return held

    def _suspicious(self) -> int:
        """The length of the longest end of the text that begins a stop."""
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(self._text)), 0, -1):
            end = self._text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

    def _release(self, characters: int, cut: bool = False) -> list[Piece]:
        """The held pieces that lie within the first characters; with ``cut`` also the part of one that does not."""
        released: list[Piece] = []
        while self._held and len(self._held[0]) <= characters:
            piece = self._held.pop(0)
            released.append(piece)
            characters -= len(piece)
            self._text = self._text[len(piece) :]
        if cut and characters and self._held:
            released.append(self._held[0].cut(self._held[0][:characters]))
        return released
