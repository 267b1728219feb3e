"""Chat: a person's line as a turn of a dialogue, and the model's answer up to the end of its turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from checkpoints.dialog import Template
from repl.events import Text

SPEAKERS = tuple(
    Template(f"{{name}}{mark}\n", f"{{name}}{mark}\n", "\n\n", "\n", person, answer)
    for person, answer in (("Romeo", "Juliet"), ("ROMEO", "JULIET"))
    for mark in (".", ":")
)
"""Ways to write a play, for checkpoints that carry no template: a speaker's name on a line, then the speech."""
MOST_CANDIDATES = 1000
"""Answers that are drawn at once: each is a row of a batch, with a state of its own."""

_SCENE = ("Good morrow.", "What news?", "None, my lord.")


def template_of(header: Any) -> Template:
    """The dialogue template that a checkpoint carries, or that of a play."""
    data: Mapping[str, Any] | None = getattr(header, "template", None)
    if data is None:
        return SPEAKERS[0]
    template = Template.from_json(data)
    nameless = template.answer_name == Template.answer_name and "{name}" not in template.answer
    return template.named(answer=header.family) if nameless else template


def likeliest_speakers(nats_per_token: Callable[[str], float]) -> Template:
    """The way to write a play that a checkpoint without a template expects most."""
    return min(SPEAKERS, key=lambda template: nats_per_token(template.conversation(_SCENE)))


class Chat:
    """Whether lines are turns, the template, and the answer that is being listened to.

    What may be the beginning of the turn's end is held back from the screen until it is clear; the model's memory
    holds it as it was written.
    """

    def __init__(self, template: Template = SPEAKERS[0]) -> None:
        self.on = False
        self.template = template
        self.answering = False
        self.candidates = 1
        self._held: list[Text] = []

    def question(self, line: str, transcript: str) -> tuple[str, str]:
        """The person's turn and the mark of the answer: as the model reads it, and as a person sees it.

        An empty line is no turn: it asks for the rest of an answer that was broken off (then there is nothing to
        read), or for one more answer.
        """
        template = self.template
        names = f"{template.person_name}: {line}\n{self.answer_shown}"
        if line:
            return self._end_of(transcript) + template.turn(line) + template.answer_mark, names
        if self._end_of(transcript):
            return "", ""
        return template.answer_mark, self.answer_shown

    def _end_of(self, transcript: str) -> str:
        """What is missing of the end of the turn that the transcript ends with."""
        end = self.template.end
        if not transcript or transcript.endswith(end):
            return ""
        begun = next(n for n in range(len(end) - 1, -1, -1) if transcript.endswith(end[:n]))
        return end[begun:]

    @property
    def answer_shown(self) -> str:
        """What stands before an answer for a person to see."""
        return f"{self.template.answer_name}: "

    @property
    def who(self) -> str:
        """Who speaks, in words."""
        names = self.template
        you = "" if names.person_name == Template.person_name else f"you are {names.person_name}, "
        return f"{you}{names.answer_name} answers"

    def answer(self) -> None:
        """The model's turn begins."""
        self.answering, self._held = True, []

    def listen(self, piece: Text) -> list[Text]:
        """What of the answer may be shown now; :attr:`answering` becomes False at its end."""
        self._held.append(piece)
        held = "".join(text.text for text in self._held)
        end = self.template.end
        place = held.find(end)
        if place >= 0:
            self.answering = False
            return [*self._release(place), Text(end, shown="\n")]
        suspicious = next((n for n in range(len(end) - 1, 0, -1) if held.endswith(end[:n])), 0)
        return self._release(len(held) - suspicious)

    def hush(self) -> list[Text]:
        """The answer is over, whether it was finished or not: what was held back."""
        held, self._held, self.answering = self._held, [], False
        return held

    def _release(self, characters: int) -> list[Text]:
        released: list[Text] = []
        while self._held and len(self._held[0].text) <= characters:
            characters -= len(self._held[0].text)
            released.append(self._held.pop(0))
        if not self.answering:
            if characters:
                released.append(dataclasses.replace(self._held[0], text=self._held[0].text[:characters]))
            self._held = []
        return released
