"""What the REPL decides: one conversation with one model. Knows no terminal, no thread and no event loop.

Everything happens in the caller's thread. What there is to show goes to ``out`` in order; :meth:`Session.step` does
one token's work while :attr:`Session.running`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cells.errors import CelloquyError
from repl.chat import SPEAKERS, Chat, likeliest_speakers, template_of
from repl.conversation import Conversation
from repl.events import Break, Sink, Text
from repl.graphemes import count_graphemes, last_graphemes
from repl.heat import bits_a_step
from repl.knobs import Knobs
from repl.meter import Meter
from repl.session_knobs import session_knobs
from repl.slash import Commands, command_table
from repl.status import Segment, segments

if TYPE_CHECKING:
    from repl.autosave import Autosave
    from repl.compare import Comparison
    from repl.generator import Snapshot, Writer
    from repl.models import Models
    from repl.neuron import Neuron
    from repl.piece import Piece

DEFAULT_LENGTH = 500
LONGEST_ANSWER = 1000
"""Tokens of a candidate answer where the length has no end."""
RAW_SHOWN = 2000
"""Characters of the raw text shown when chat goes off."""
CONTEXT_SHOWN = 240
"""Characters shown again after going back, so that a person sees where the text stands now."""


@dataclass(frozen=True)
class Turn:
    """Where a turn stands in the transcript: its first character, and the first one that the model wrote."""

    start: int
    answer: int


@dataclass(frozen=True)
class Mark:
    """A place to come back to: the model's whole state there, and the turns up to it."""

    place: Snapshot
    turns: tuple[Turn, ...]


class Session(Conversation):
    """A conversation: the writer, the knobs, the turns, and what is going on just now."""

    def __init__(
        self,
        writer: Writer,
        out: Sink,
        models: Models,
        *,
        length: int = DEFAULT_LENGTH,
    ) -> None:
        super().__init__(out)
        self.writer = writer
        self.length = length
        self.chat = Chat(template_of(writer.loaded.header))
        self.meter = Meter()
        self.turns: list[Turn] = []
        self.marks: dict[str, Mark] = {}
        self.models = models
        self._left = 0
        self.knobs: Knobs = session_knobs(self)
        self.commands: Commands = command_table(writer.settings.options)

    # What goes on just now

    @property
    def name(self) -> str:
        """The checkpoint that writes."""
        return self.writer.name

    @property
    def size(self) -> int:
        """Characters in the transcript."""
        return self.writer.character_count

    @property
    def heat_bits(self) -> int:
        """Bits that a colour of ``/heat`` stands for: more where there are thousands of characters."""
        tokenizer = self.writer.loaded.tokenizer
        return bits_a_step(tokenizer.vocabulary_size) if tokenizer.kind == "char" else 1

    def step(self) -> None:
        """One token of whatever is being written."""
        if self.comparison is not None:
            self._compare_on(self.comparison)
            return
        if self.chat.answering and self.chat.candidates > 1 and self._left == self.length:
            self._choose_answer()
            return
        piece = self.writer.step()
        surprise = piece.surprise
        self.meter.add(surprise)
        self._show(piece, surprise)
        self._left -= 1
        if self._left == 0 and self.writing:
            self._finish()

    def _show(self, piece: Piece, surprise: float) -> None:
        entropy = piece.entropy if self.heat == "entropy" else None
        text = Text(
            str(piece), False, surprise, entropy, shade=None if self.neuron is None else self._shade(self.neuron)
        )
        for shown in self.chat.listen(text) if self.chat.answering else (text,):
            if shown.text:
                self.out(shown)
        if self.chat.on and not self.chat.answering:
            self._finish()

    def _shade(self, neuron: Neuron) -> float | None:
        """The place of the watched unit's value among the colours, now that the last token has been read."""
        value = neuron.value(self.writer.state_ahead())
        if value is None:
            self.neuron = None
            self.say(f"neuron off: {self.writer.name} has no {neuron.name}")
            return None
        return neuron.place(value)

    def _choose_answer(self) -> None:
        """Draw several answers at once and take the one that has most to do with the question."""
        from repl.candidates import draw_candidates

        writer, template = self.writer, self.chat.template
        length = self.length or LONGEST_ANSWER
        started = time.perf_counter()
        drawn = draw_candidates(
            writer, self.models.samplers, self.chat.candidates, length, template.end, template.answer_mark
        )
        self.meter.burst(sum(len(one.tokens) for one in drawn), time.perf_counter() - started)
        best, randomness = drawn[0], writer.randomness
        writer.feed(best.text)
        writer.randomness = randomness.at(randomness.counter + length)
        for piece, surprise in zip(best.pieces, best.surprises, strict=True):
            self.meter.note(surprise)
            for shown in self.chat.listen(Text(piece, surprise=surprise)):
                self.out(shown)
        self._finish()

    def _compare_on(self, comparison: Comparison) -> None:
        self.meter.add(comparison.step(self.writer.settings))
        if comparison.finished:
            self._end_comparison()

    def _end_comparison(self) -> None:
        if self.comparison is not None:
            self.out(self.comparison.table())
        self.comparison, self.paused = None, False

    def _begin(self) -> None:
        """Write on, for another whole length."""
        self.writing, self.paused = True, False
        self._left = self.length
        self.meter.start()

    def _finish(self) -> None:
        for held in self.chat.hush():
            self.out(held)
        self.writing = self.paused = False

    def stop(self) -> None:
        """Stop writing; what is there is kept, on the screen and in the model's memory."""
        self._end_comparison()
        if self.writing:
            self._finish()

    def pause(self) -> None:
        """Pause what is being written, or go on with it."""
        if self.live:
            self.paused = not self.paused
            self.meter.start()

    def keep(self, autosave: Autosave, *, now: bool = False) -> None:
        """See :class:`repl.conversation.Conversation`."""
        autosave(self, now=now)

    def status(self, doing: str, *, unicode: bool = True) -> list[Segment]:
        """See :class:`repl.conversation.Conversation`."""
        return segments(self, doing, unicode=unicode)

    # Settings that are not a matter of one option

    @property
    def seed_given(self) -> bool:
        """Whether a person chose the seed."""
        return self.writer.settings["seed"] is not None

    def set_seed(self, seed: int | None) -> None:
        """Begin the random numbers of a seed; None for a random one."""
        self.writer.settings["seed"] = seed

    def set_length(self, length: int) -> None:
        """Tokens for each continuation, the one under way included; 0 goes on until stopped."""
        done = self.length - self._left
        self.length = length
        if self.writing:
            self._left = max(1, length - done) if length else 0

    # What a person gives

    def give(self, line: str) -> None:
        """A line for the model: it goes on from there. An empty one says only that it may go on.

        In mid-stream the line goes into the text right where it stands. Otherwise it begins on a line of its own,
        unless it begins with a space.
        """
        if self.comparison is not None:
            raise CelloquyError("a comparison is under way; Esc ends it")
        if self.chat.on:
            self._turn(line)
        elif line:
            self._prompt(line)
        elif not self.writing:
            self.turns.append(Turn(self.size, self.size))
        if line or not self.writing:
            self._begin()
        self.paused = False

    def _prompt(self, line: str) -> None:
        start = self.size
        apart = not self.writing and self.size and not line[0].isspace() and not self._at_line_start()
        if apart:
            self.out(Break())
        self._feed("\n" + line if apart else line, line)
        self.turns.append(Turn(start, self.size))

    def _turn(self, line: str) -> None:
        """In chat: a whole turn of the person, and the answer's mark. An empty line asks for more of the answer."""
        if not line and self.writing:
            return
        self.stop()
        start = self.size
        text, shown = self.chat.question(line, self.writer.transcript)
        if text:
            self.out(Break())
            self._feed(text, shown)
        self.turns.append(Turn(start, self.size))
        self.chat.answer()

    def _feed(self, text: str, shown: str | None = None) -> None:
        self.tell_unknown(self.writer.loaded.tokenizer.unknown_characters(text))
        self.out(Text(text, given=True, shown=shown))  # at once: reading a long one takes a while
        self.writer.feed(text)

    def _at_line_start(self) -> bool:
        return self.writer.transcript.endswith("\n")

    # Going back

    def undo(self, characters: int | None = None) -> int:
        """Take back the last turn, or so many characters; how many were taken back.

        Characters as people count them: a letter with its accents or an emoji sequence is one.
        """
        self.stop()
        text = self.writer.transcript
        if characters is not None:
            taken = last_graphemes(text, characters)
        elif self.turns:
            taken = text[self.turns[-1].start :]
        else:
            raise CelloquyError("there is no turn to take back")
        self._back_to(self.size - len(taken))
        return count_graphemes(taken)

    def retry(self) -> None:
        """Write again from the last prompt: anew with a random seed, the same again with one that was given."""
        if not self.turns:
            raise CelloquyError("there is no prompt to go on from again; give one first")
        self.stop()
        prompts = [turn for turn in self.turns if turn.start < turn.answer]
        turn = (prompts or self.turns)[-1]
        self._back_to(turn.answer)
        self.turns.append(turn)
        self.show_place()
        if not self.seed_given:
            self.set_seed(None)
        if self.chat.on:
            self.chat.answer()
        self._begin()

    def _back_to(self, place: int) -> None:
        self.writer.undo(self.size - place)
        self.turns = [turn for turn in self.turns if turn.answer < place]

    def show_place(self) -> None:
        """Show the end of the transcript again, as it stands now."""
        self.out(Break())
        if self.chat.on and self.turns and self.turns[-1].answer == self.size:
            self.out(Text("", shown=self.chat.answer_shown))
            return
        end = self.writer.transcript[-CONTEXT_SHOWN:]
        _, newline, last = end.rpartition("\n")
        cut = not newline and len(end) == CONTEXT_SHOWN
        self.out(Text(last, shown="…" + last if cut else None))

    def mark(self, name: str) -> None:
        """Keep this place under a name."""
        self.marks[name] = Mark(self.writer.snapshot(), tuple(self.turns))

    def back(self, name: str) -> None:
        """Return to a kept place: text, state, cell, knobs and random numbers, all as they were."""
        if name not in self.marks:
            known = ", ".join(self.marks) or "none yet: /mark NAME keeps a place"
            raise CelloquyError(f"there is no mark {name!r}; there are: {known}")
        self.stop()
        mark = self.marks[name]
        self.writer.restore(mark.place)
        self.turns = list(mark.turns)

    def reset(self) -> None:
        """Forget the text; the knobs stay as they are."""
        self.stop()
        self.writer.reset()
        self.turns = []
        self.out(Break())

    # Models

    def cells(self) -> list[str]:
        """The cells of the family, in the family's order."""
        return list(self.models.family(self.writer.loaded))

    def change_cell(self, name: str) -> None:
        """Go on with another cell of the family, or a mixture of several, from the same place in the text."""
        from repl.mixture import is_mixture, mix

        writer = self.writer
        if is_mixture(name):
            mixture = mix(name, lambda cell: self.models.sibling(writer.loaded, cell))
            unknown = writer.swap_to(self.models.ready(mixture))
        elif name in writer.siblings():
            unknown = writer.swap(name)
        else:
            unknown = writer.swap_to(self.models.ready(self.models.sibling(writer.loaded, name)))
        self.tell_unknown(unknown)

    def change_checkpoint(self, name: str) -> None:
        """Go on with another checkpoint, which reads the text so far."""
        loaded = self.models.load(name)
        self.tell_unknown(self.writer.swap_to(self.models.ready(loaded)))
        self.chat.template = template_of(loaded.header)

    def compare(self, prompt: str) -> None:
        """Let every cell of the family go on from a prompt, side by side; the conversation stays as it is."""
        from repl.compare import Comparison

        self.stop()
        settings = {**self.writer.settings, "seed": self.writer.seed}
        siblings = [self.models.sibling(self.writer.loaded, name) for name in self.cells()]
        self.comparison = Comparison(prompt, [self.models.writer(one, settings) for one in siblings], self.length)
        self.meter.start()
        self.paused = False

    # Chat

    def set_chat(self, on: bool) -> None:
        """Take lines as turns of a dialogue, or as text; the raw text so far is shown when it goes off."""
        self.stop()
        before, self.chat.on = self.chat.on, on
        if on and self.chat.template in SPEAKERS:
            self.chat.template = likeliest_speakers(lambda text: self.writer.score(text).nats_per_token)
        if on:
            self.say(f"chat on: {self.chat.who}; /chat off ends it")
        else:
            self.say("chat off")
            if before and self.size:
                self.out(Break())
                self.out(Text(self.writer.transcript[-RAW_SHOWN:]))

    def name_speakers(self, person: str, answer: str) -> None:
        """Name the two sides of the dialogue."""
        self.chat.template = self.chat.template.named(person, answer)
