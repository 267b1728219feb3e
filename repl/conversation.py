"""What the screen, the keys and the worker need of whatever a person talks to: a model that writes, or a classifier."""

# ruff: noqa: B027 - a conversation that has nothing to pause, to preview or to keep need not say so

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repl.events import Note, Sink
from repl.knobs import Knobs
from repl.unknown import unknown_note

if TYPE_CHECKING:
    from repl.autosave import Autosave
    from repl.compare import Comparison
    from repl.neuron import Neuron
    from repl.slash import Commands
    from repl.status import Segment


class Conversation(ABC):
    """Takes lines, tells what came of them. Everything happens in the caller's thread, one call at a time."""

    knobs: Knobs
    commands: Commands

    def __init__(self, out: Sink) -> None:
        self.out = out
        self.writing = False
        self.paused = False
        self.leaving = False
        self.busy = False  # whether whoever drives the conversation waits for it to do something just now
        self.speed = 0
        self.heat = "off"
        self.neuron: Neuron | None = None
        self.comparison: Comparison | None = None
        self.shares: tuple[tuple[str, float], ...] = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """Whom the person talks to."""

    @property
    def heat_bits(self) -> int:
        """Bits that a colour of ``/heat`` stands for."""
        return 1

    @property
    def live(self) -> bool:
        """Whether text streams or pauses: then the bare keys are live keys."""
        return self.writing or self.comparison is not None

    @property
    def running(self) -> bool:
        """Whether :meth:`step` has something to do."""
        return self.live and not self.paused

    def say(self, text: str, kind: str = "note", indent: int = 2) -> None:
        """Tell the person something that is no part of the text; ``indent`` as in :class:`repl.events.Note`."""
        self.out(Note(text, kind, aside=self.live, indent=indent))

    def tell_unknown(self, characters: Sequence[str]) -> None:
        """Name the characters of a given text that the checkpoint does not know."""
        if characters:
            self.say(unknown_note(self.name, characters), "warning")

    def submit(self, line: str) -> None:
        """A line as it was typed: a command if it begins with a slash, else text; ``//`` is a literal slash."""
        if line.startswith("/") and not line.startswith("//"):
            self.say(line, "echo")
            self.commands.run(self, line)
        else:
            self.give(line[1:] if line.startswith("//") else line)

    @abstractmethod
    def give(self, line: str) -> None:
        """A line that is no command."""

    def preview(self, text: str) -> None:
        """A line that is being typed; :attr:`shares` is what can be said of it already."""

    def step(self) -> None:
        """One token of whatever is being written."""

    def stop(self) -> None:
        """Stop writing; what is there is kept."""

    def pause(self) -> None:
        """Pause what is being written, or go on with it."""

    def keep(self, autosave: Autosave, *, now: bool = False) -> None:
        """Keep the conversation for ``--continue``, if it is one to go on with."""

    @abstractmethod
    def status(self, doing: str, *, unicode: bool = True) -> list[Segment]:
        """The parts of the status line; ``doing`` is what goes on."""
