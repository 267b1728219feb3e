"""What a session tells whoever shows it, in order: text, and notes that are not text."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repl.lab.draw.picture import Picture


@dataclass(frozen=True)
class Text:
    """A piece of the transcript. ``given`` when a person gave it; a generated one carries the model's own view of it.

    ``surprise`` and ``entropy`` are nats at temperature 1; ``shade`` is the place of a watched unit's value among the
    colours, 0 to 1. ``shown`` is what to show in the place of ``text`` where that differs: without a dialogue's raw
    marks, for instance.
    """

    text: str
    given: bool = False
    surprise: float | None = None
    entropy: float | None = None
    shown: str | None = None
    shade: float | None = None


@dataclass(frozen=True)
class Note:
    """Lines about the session rather than of it. ``kind``: ``note``, ``warning``, ``error``, ``echo`` (of a command).

    ``aside``: text is being written, and goes on in the row where it stands. ``indent``: blanks before the further
    rows of a line that one row cannot hold.
    """

    text: str
    kind: str = "note"
    aside: bool = False
    indent: int = 2


@dataclass(frozen=True)
class Break:
    """The text up to here stands on rows of its own: some of it was taken back, or another text begins."""


@dataclass(frozen=True)
class Table:
    """Finished columns of a comparison: (title, text, line underneath) for each cell."""

    prompt: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Drawing:
    """A picture among the notes: ``draw`` makes it for a terminal of so many columns."""

    draw: Callable[[int], Picture]


@dataclass(frozen=True)
class Shares:
    """What labels a text has: a bar for each."""

    shares: tuple[tuple[str, float], ...]


Event = Text | Note | Break | Table | Drawing | Shares
Sink = Callable[[Event], None]


class Outbox:
    """Hands events from the sampler's thread to the screen, one batch a frame, and never runs far ahead of it.

    ``wake`` is called from the sampler's thread once a batch, ``on_room`` from the screen's when it took one.
    """

    LIMIT = 160

    def __init__(self) -> None:
        self.wake: Callable[[], None] = _nobody
        self.on_room: Callable[[], None] = _nobody
        self._woken = False
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def put(self, event: Event) -> None:
        """Never blocks: the sampler asks :attr:`full` before it goes on."""
        with self._lock:
            self._events.append(event)
        self.touch()

    def touch(self) -> None:
        """Something that the screen shows has changed, though it may be no event."""
        with self._lock:
            woken, self._woken = self._woken, True
        if not woken:
            self.wake()

    @property
    def full(self) -> bool:
        """Whether the screen has yet to take as much as it can show in a frame."""
        return len(self._events) >= self.LIMIT

    @property
    def empty(self) -> bool:
        """Whether everything that was put has been taken."""
        return not self._events

    def drain(self) -> list[Event]:
        """Everything put so far, in order; the sampler may go on."""
        with self._lock:
            events, self._events = self._events, []
            self._woken = False
        if events:
            self.on_room()
        return events


def _nobody() -> None:
    """Nobody is listening yet."""
