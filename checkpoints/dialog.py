"""Dialogues: a template that says how turns stand in a text, and corpora of conversations in JSON Lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.corpus import Corpus, read_corpus


@dataclass(frozen=True)
class Template:
    """How a dialogue is written down: a mark before each side's turn, and what ends a turn.

    ``person`` and ``answer`` may hold ``{name}``, which stands for that side's name. ``between`` stands between two
    conversations. It is kept in a checkpoint's header as a JSON object.
    """

    person: str = "A: "
    answer: str = "B: "
    end: str = "\n"
    between: str = "\n"
    person_name: str = "you"
    answer_name: str = "answer"

    @property
    def person_mark(self) -> str:
        """What stands before the person's turn."""
        return self.person.replace("{name}", self.person_name)

    @property
    def answer_mark(self) -> str:
        """What stands before the answer."""
        return self.answer.replace("{name}", self.answer_name)

    def named(self, person: str | None = None, answer: str | None = None) -> Template:
        """The same template with other names."""
        return dataclasses.replace(self, person_name=person or self.person_name, answer_name=answer or self.answer_name)

    def turn(self, text: str, *, answer: bool = False) -> str:
        """One whole turn as it stands in the text. A turn cannot hold the text that ends it."""
        if self.end.strip():
            text = text.replace(self.end, " ")
        elif "\n" in self.end:
            text = _without_blank(text, self.end)
        return f"{self.answer_mark if answer else self.person_mark}{text.strip()}{self.end}"

    def conversation(self, turns: Sequence[str]) -> str:
        """A whole conversation, the two sides in turn."""
        return "".join(self.turn(text, answer=bool(number % 2)) for number, text in enumerate(turns)) + self.between

    def to_json(self) -> dict[str, Any]:
        """The template for a header."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Template:
        """The inverse; CelloquyError for anything that is not a template."""
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in data if name not in names]
        if unknown:
            raise CelloquyError(f"its dialogue template has an unknown entry {str(unknown[0])!r}")
        if not all(isinstance(value, str) for value in data.values()):
            raise CelloquyError("its dialogue template holds something that is not text")
        template = cls(**data)
        if not template.end:
            raise CelloquyError("its dialogue template does not say what ends a turn")
        return template


def _without_blank(text: str, end: str) -> str:
    """Text in which no run of newlines is as long as the one that ends a turn."""
    longest = "\n" * (end.count("\n") - 1)
    lines = [line.strip() for line in text.splitlines()]
    return (longest or " ").join(line for line in lines if line)


def read_dialogues(
    paths: Sequence[str | Path], template: Template | None = None, encoding: str = "utf-8", errors: str = "strict"
) -> Corpus:
    """Conversations in JSON Lines, ``{"turns": ["…", "…"]}`` a line, as one text to train on.

    Raises CelloquyError for what :func:`read_corpus` refuses, and for a line that is not such an object, by its number.
    """
    raw = read_corpus(paths, encoding, errors)
    template = template or Template()
    text = "".join(template.conversation(turns) for turns in _conversations(raw.text, str(paths[0])))
    return Corpus.from_text(text, raw.files)


def _conversations(text: str, where: str) -> Iterable[list[str]]:
    found = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if "\\u" in line:
                json.dumps(data, ensure_ascii=False).encode("utf-8")  # an escaped lone surrogate fails here
        except (ValueError, RecursionError):
            raise CelloquyError(f"{where}, line {number}: not JSON; each line must be an object with turns") from None
        turns = data.get("turns") if isinstance(data, dict) else None
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            raise CelloquyError(f'{where}, line {number}: each line must be an object {{"turns": ["…", "…"]}}')
        kept = [turn for turn in turns if turn.strip()]
        if kept:
            found = True
            yield kept
    if not found:
        raise CelloquyError(f"{where}: there is no conversation in it")
