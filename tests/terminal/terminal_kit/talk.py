"""A conversation without any terminal: what was submitted, and all that came of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from cells.state import state_tensors
from repl.events import Event, Note, Text
from repl.models import Models
from repl.page import Page
from repl.session import Session


class Talk:
    """A session and its events. Commands go through the same door as a person's."""

    def __init__(self, name: str, cell: str | None = "lstm", *, length: int = 40, **settings: Any) -> None:
        self.events: list[Event] = []
        self.models = Models()
        settings.setdefault("seed", 1)
        writer = self.models.writer(self.models.load(name, cell), settings)
        self.session = Session(writer, self.events.append, self.models, length=length)

    def say(self, *lines: str) -> Talk:
        """Submit lines, and write on after each until nothing is left to write."""
        for line in lines:
            self.session.submit(line)
            self.run()
        return self

    def begin(self, line: str, tokens: int) -> Talk:
        """Submit a line and write only so many tokens."""
        self.session.submit(line)
        return self.step(tokens)

    def step(self, tokens: int = 1) -> Talk:
        """Write so many tokens."""
        for _ in range(tokens):
            assert self.session.running
            self.session.step()
        return self

    def run(self) -> Talk:
        """Write until nothing is left to write."""
        while self.session.running:
            self.session.step()
        return self

    @property
    def transcript(self) -> str:
        """The whole text."""
        return self.session.writer.transcript

    @property
    def notes(self) -> list[str]:
        """What was said about the session, echoes of commands left out."""
        return [event.text for event in self.events if isinstance(event, Note) and event.kind != "echo"]

    @property
    def written(self) -> str:
        """What the events give as text."""
        return "".join(event.text for event in self.events if isinstance(event, Text))

    def rows(self, columns: int = 80) -> list[str]:
        """Everything as a terminal of so many columns shows it."""
        page = Page(columns)
        page.heat = self.session.heat
        finished = [*page.take(self.events), page.tail]
        return ["".join(text for _, text in row) for row in finished]

    def bits(self) -> dict[str, bytes]:
        """The model's state, to the last bit, with the token that is not in it yet."""
        position = self.session.writer.snapshot().position
        state = {name: tensor.numpy().tobytes() for name, tensor in state_tensors(position.state).items()}
        return state | {"pending": str(position.pending).encode()}

    def greedy(self, tokens: int) -> str:
        """What greedy decoding gives from here, worked out by hand from the state; the conversation stays."""
        place = self.session.writer.snapshot()
        model, position = place.reading.model, place.position
        decoder, text = model.decoder, ""
        state, token = position.state, position.pending
        for _ in range(tokens):
            logits, state = decoder.step(torch.tensor([model.start if token is None else token]), state)
            row = logits[0].tolist()
            for banned in model.banned:
                row[banned] = -math.inf
            token = row.index(max(row))
            text += model.tokenizer.decode([token])
        return text


def saved(folder: Path) -> list[Path]:
    """The files in a folder, hidden and half-written ones included."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
