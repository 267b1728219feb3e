"""One model's way through the transcript: where it stands, and how to come back to any place before, to the last bit.

The text so far is a chain of passages, each with the model's state at its end, so a snapshot is one reference and
branches share what they have in common. A passage was either read (a prompt, in one go) or drawn (token after token).
Going back repeats what was done from the last kept state on, by the same arithmetic, so that the state is the same to
the last bit. Old passages give up most of their states: what is lost is only time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.sampler import Stream
from repl.randomness import Randomness
from repl.text_model import Position, TextModel

if TYPE_CHECKING:
    from cells.state import State
    from checkpoints.tokenizers import StreamDecoder

PASSAGE = 64
"""Drawn tokens in a passage, at most."""

RECENT = 64
"""How many of the last passages keep their states for sure."""

KEPT = 16
"""Of older drawn passages, one in so many keeps its state."""

Memory = dict[str, Any]


@dataclass(eq=False, slots=True)
class Passage:
    """A stretch of the transcript. It never changes, except that ``position`` may be dropped and worked out again.

    ``decoder`` (half a character?), ``randomness`` and ``memory`` (the samplers') are as they were at its end;
    ``memories`` as they were after each of its tokens, where a sampler keeps any. The counts are of the transcript up
    to its end.
    """

    before: Passage | None
    text: str
    tokens: array[int]
    drawn: bool
    position: Position | None
    decoder: StreamDecoder
    randomness: Randomness
    memory: Memory
    memories: tuple[Memory, ...] = ()
    depth: int = 0
    token_count: int = 0
    character_count: int = 0

    def back(self) -> Iterator[Passage]:
        """This passage and those before it, from here to the beginning."""
        passage: Passage | None = self
        while passage is not None:
            yield passage
            passage = passage.before


class Reading:
    """Where one model stands in the transcript: ``position``, the samplers' ``stream``, ``randomness``."""

    def __init__(self, model: TextModel, randomness: Randomness) -> None:
        self.model = model
        self.last = Passage(
            None, "", array("i"), False, model.beginning(), model.tokenizer.stream_decoder(), randomness, {}
        )
        self.stream = Stream(vocabulary=model.vocabulary)
        self.go_to(self.last)

    def go_to(self, passage: Passage) -> None:
        """Stand at the end of a passage of this model, whatever branch of the text it is on."""
        shared = _shared(self.last, passage)
        history = self.stream.history
        del history[shared.token_count :]
        branch = [step for step in passage.back() if step.depth > shared.depth]
        for step in reversed(branch):
            history.extend(step.tokens)
        self.stream = Stream(history, dict(passage.memory), self.model.vocabulary)
        self.last = passage
        self.position = self._position_after(passage)
        self.randomness = passage.randomness
        self._decoder = passage.decoder.copy()
        self._texts: list[str] = []
        self._memories: list[Memory] = []

    def _position_after(self, passage: Passage) -> Position:
        """The place at the end of a passage, worked out from the last one before it that was kept."""
        way = []
        for step in passage.back():
            way.append(step)
            if step.position is not None:
                break
        position = way.pop().position
        assert position is not None  # the first passage always keeps its own
        for step in reversed(way):
            position = self._again(step, len(step.tokens), position)
        passage.position = position
        return position

    def _again(self, passage: Passage, count: int, position: Position) -> Position:
        """Do what a passage did, for its first ``count`` tokens: all of them if it was read."""
        if not passage.drawn:
            return self.model.read(passage.tokens, position)
        for token in passage.tokens[:count]:
            position = Position(self.model.ahead(position)[1], token)
        return position

    @property
    def text(self) -> str:
        """The whole transcript."""
        return "".join([*reversed([passage.text for passage in self.last.back()]), *self._texts])

    @property
    def character_count(self) -> int:
        """How many characters the transcript has."""
        return self.last.character_count + sum(map(len, self._texts))

    @property
    def token_count(self) -> int:
        """How many tokens the transcript has."""
        return len(self.stream.history)

    def read(self, text: str) -> None:
        """Append a text from outside. Half a character that was left at the end is given up first."""
        if not text:
            return
        if self._decoder.copy().flush():
            self.back_to(self.character_count)
        self.seal()
        for part, tokens in self.model.parts(text):
            self.position = self.model.read(tokens, self.position)
            self.stream.history.extend(tokens)
            self._decoder = self.model.tokenizer.stream_decoder()
            self._append(part, array("i", tokens), drawn=False)

    def steer(self, label: str | None, strength: float = 1.0) -> None:
        """Let a label steer from here on, or none: a passage without text, whose state is kept."""
        position = self.model.steered(self.position, label, strength)
        if position is not self.position:
            self.seal()
            self.position = position
            self._append("", array("i"), drawn=False)

    def draw(self, token: int, state: State) -> str:
        """Append a token that was drawn, ``state`` being the one before it; returns the text that it completes."""
        if len(self._texts) >= PASSAGE:
            self.seal()
        text = self._decoder.push(token)
        self.position = Position(state, token)
        self.randomness = self.randomness.next()
        self.stream.history.append(token)
        self._texts.append(text)
        return text

    def remember(self) -> None:
        """Keep what the samplers remember after the token just drawn. For each token of a passage or for none."""
        self._memories.append(dict(self.stream.memory))

    def seal(self) -> Passage:
        """Close the passage that is being drawn; returns the last one."""
        if self._texts:
            tokens = array("i", self.stream.history[self.last.token_count :])
            self._append("".join(self._texts), tokens, drawn=True)
            self._texts, self._memories = [], []
        return self.last

    def _append(self, text: str, tokens: array[int], drawn: bool) -> None:
        before = self.last
        self.last = Passage(
            before,
            text,
            tokens,
            drawn,
            self.position,
            self._decoder.copy(),
            self.randomness,
            dict(self.stream.memory),
            tuple(self._memories) if drawn else (),
            before.depth + 1,
            before.token_count + len(tokens),
            before.character_count + len(text),
        )
        self._thin()

    def _thin(self) -> None:
        """Let the passage that has just become old give up its state, unless it is one of the few that keep theirs."""
        for age, passage in enumerate(self.last.back()):
            if age == RECENT:
                if passage.drawn and passage.depth % KEPT:
                    passage.position = None
                return

    def back_to(self, characters: int) -> None:
        """Go back to where the transcript had this many characters and no token more than they need."""
        passage = self.seal()
        while passage.before is not None and passage.before.character_count >= characters:
            passage = passage.before
        if passage.before is None:
            self.go_to(passage)
            return
        wanted = characters - passage.before.character_count
        if not passage.drawn:
            self._back_into_read(passage, wanted)
        else:
            self._back_into_drawn(passage, wanted)

    def _back_into_read(self, passage: Passage, wanted: int) -> None:
        if wanted == len(passage.text):
            self.go_to(passage)
            return
        assert passage.before is not None
        self.go_to(passage.before)
        self.read(passage.text[:wanted])

    def _back_into_drawn(self, passage: Passage, wanted: int) -> None:
        """Draw the passage's first tokens again; of one that stands across the place, read the part before it."""
        assert passage.before is not None
        decoder = passage.before.decoder.copy()
        texts: list[str] = []
        for token in passage.tokens:
            if wanted <= 0:
                break
            texts.append(decoder.push(token))
            wanted -= len(texts[-1])
        if wanted == 0 and len(texts) == len(passage.tokens):
            self.go_to(passage)
            return
        rest = ""
        if wanted < 0:
            rest = texts.pop()[:wanted]
        self.go_to(passage.before)
        first = passage.randomness.counter - len(passage.tokens)
        self.randomness = passage.randomness.at(first)
        for number, token in enumerate(passage.tokens[: len(texts)]):
            self.draw(token, self.model.ahead(self.position)[1])
            if passage.memories:
                self.stream.memory = dict(passage.memories[number])
                self.remember()
        self.read(rest)


def _shared(one: Passage, other: Passage) -> Passage:
    """The last passage that two have in common; of two models' there would be none, which does not happen."""
    while one is not other:
        if one.depth >= other.depth:
            assert one.before is not None
            one = one.before
        else:
            assert other.before is not None
            other = other.before
    return one


def common_length(one: str, other: str) -> int:
    """How many characters two texts have in common from their beginning."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving keeps the comparison in C
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
