"""The writer: a model, a text that grows, and the settings by which it grows. One conversation without any terminal."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cells.errors import CelloquyError, UsageError
from repl.batch import Continuation, Job, continue_all
from repl.bulk import Blocks, BulkWriting
from repl.chain import Chain
from repl.guide import START, Guide
from repl.labels import checked_label, steering
from repl.line_scores import LineScore, score_lines
from repl.notebook import TextStream
from repl.piece import Piece
from repl.randomness import Randomness, random_seed
from repl.reading import Passage, Reading, common_length
from repl.registration import registry as shared_registry
from repl.registration import sampling_options
from repl.scoring import Score, score_text
from repl.settings import Settings
from repl.stops import StopWatch, check_stops
from repl.text_model import Position, TextModel, text_model

if TYPE_CHECKING:
    from cells.state import State
    from checkpoints.loading import Loaded
    from plugins.registry import Registry
    from repl.compiled import CompiledBlock


@dataclass(frozen=True)
class Snapshot:
    """A place to come back to: the text, the state, the random numbers and the settings. A few kilobytes."""

    reading: Reading
    passage: Passage
    position: Position
    values: Mapping[str, Any]
    randomness: Randomness


class Writer:
    """Writes on from a text that is given, or from what it wrote before.

    ``settings`` may be changed at any moment and count from the next token. :meth:`stream`, :meth:`feed` and
    :meth:`step` move the conversation on; :meth:`generate`, :meth:`generate_batch` and :meth:`score` leave it alone.
    Not thread-safe, except that another thread may change a setting other than the seed.
    """

    def __init__(self, loaded: Loaded | TextModel, registry: Registry | None = None, **sampling: Any) -> None:
        self.registry = shared_registry() if registry is None else registry
        self.settings = Settings(sampling_options(self.registry), sampling)
        changed = weakref.WeakMethod(self._setting_changed)  # no circle: packed weights go with the last who has them
        self.settings.on_change = lambda key: there(key) if (there := changed()) else None
        self._reading = Reading(text_model(loaded), Randomness(self._wanted_seed()))
        self._readings: dict[Path, Reading] = {self.loaded.path: self._reading}
        self._blocks = Blocks(self.registry)
        self._chain: Chain | None = None
        self._chain_values: Mapping[str, Any] = {}
        self._label = checked_label(self._reading.model, self.settings, None)

    # ------------------------------------------------------------------ what it is

    @property
    def loaded(self) -> Loaded:
        """The checkpoint that writes."""
        return self._reading.model.loaded

    @property
    def name(self) -> str:
        """The checkpoint's name: ``family.cell``."""
        return self._reading.model.name

    @property
    def cell_name(self) -> str:
        """The cell that writes."""
        return self._reading.model.cell_name

    @property
    def family(self) -> str:
        """The checkpoint's family."""
        return self._reading.model.family

    @property
    def transcript(self) -> str:
        """The whole text: what was fed and what was written."""
        return self._reading.text

    @property
    def character_count(self) -> int:
        """The length of the transcript, without making it."""
        return self._reading.character_count

    @property
    def seed(self) -> int:
        """The seed in use: the one that was set, or the one that was drawn because none was."""
        return self._reading.randomness.seed

    @property
    def randomness(self) -> Randomness:
        """Where the random numbers stand. Setting it goes to another place of them; text and state stay."""
        return self._reading.randomness

    @randomness.setter
    def randomness(self, randomness: Randomness) -> None:
        self._reading.seal()
        self._reading.randomness = randomness

    def _wanted_seed(self) -> int:
        seed = self.settings["seed"]
        return random_seed() if seed is None else int(seed)

    def _setting_changed(self, key: str) -> None:
        if key == "seed":
            self.randomness = Randomness(self._wanted_seed())
        elif key == "label":
            self._label = checked_label(self._reading.model, self.settings, self._label)

    def _repr_html_(self) -> str:
        """The checkpoint's card: what a notebook shows."""
        return self.loaded._repr_html_()

    # ------------------------------------------------------------------ writing

    def feed(self, text: str) -> list[str]:
        """Read a text as if it had been written here; returns its characters that the checkpoint does not know."""
        self._reading.steer(*steering(self.settings.values_now))
        self._reading.read(text)
        return self._reading.model.tokenizer.unknown_characters(text)

    def step(self, allowed: NDArray[np.bool_] | None = None) -> Piece:
        """Draw one token and append it. The first of an empty text is drawn as if a line had just begun.

        ``allowed`` [V] are the tokens that may be drawn, all if it is not given.
        """
        chain = self._current_chain()
        reading = self._reading
        logits, state = reading.model.ahead(reading.position)
        possible = logits if allowed is None else np.where(allowed, logits, -np.inf)
        token = chain.choose(possible, reading.stream, reading.randomness.value)
        piece = Piece(reading.draw(token, state), token, logits)
        if chain.observes:
            chain.observe(token, piece.surprise, reading.stream)
            reading.remember()
        return piece

    def state_ahead(self) -> State:
        """The state that has the last token of the text in it; the next :meth:`step` does not compute it again."""
        return self._reading.model.look_ahead(self._reading.position)

    def _current_chain(self) -> Chain:
        values = self.settings.values_now
        if self._chain is None or values is not self._chain_values:
            self._reading.seal()  # so that a sampler's memory is kept for all tokens of a passage or for none
            self._reading.steer(*steering(values))
            self._chain = Chain(self.registry.samplers, values, self._reading.model.banned)
            self._chain_values = values
        return self._chain

    def stream(
        self,
        prompt: str = "",
        length: int | None = 200,
        *,
        stop: Sequence[str] = (),
        seed: int | None = None,
        regex: str | None = None,
        **sampling: Any,
    ) -> TextStream:
        """Read ``prompt``, then yield ``length`` tokens' text piece by piece (None: without end).

        Goes on from where the text stands; :meth:`reset` begins anew. Ends before a ``stop`` text, of which nothing is
        shown and nothing stays in the transcript; the last piece has ``finish``. ``seed`` starts the random numbers
        again; without it they go on. Sampling options given here hold for this stream; ``settings`` may still be
        changed while it runs. Raises UsageError for a value that an option cannot have, at once. A notebook shows the
        stream live, coloured by surprise. With ``regex`` the text drawn matches the whole pattern, and ends where
        nothing can follow.
        """
        stops = check_stops(stop)
        _check_length(length)
        guide = self._guide(regex, length, stops)
        given = {self.settings.options[name].key: value for name, value in sampling.items()}
        self._reading.model.beginning(self.settings.merged(given)["label"])
        if seed is not None:
            seed = self.settings.options["seed"].validate(seed)
        return TextStream(prompt, self._stream(prompt, length, stops, seed, given, guide))

    def _guide(self, pattern: str | None, length: int | None, stops: Sequence[str]) -> Guide | None:
        if pattern is None:
            return None
        if stops:
            raise UsageError("give stop texts or a regex: a text that is cut would not match")
        guide = self._reading.model.guide(pattern)
        guide.check(length)
        return guide

    def _stream(
        self,
        prompt: str,
        length: int | None,
        stops: tuple[str, ...],
        seed: int | None,
        given: Mapping[str, Any],
        guide: Guide | None,
    ) -> Iterator[Piece]:
        before = {key: self.settings[key] for key in given}
        for key, value in given.items():
            self.settings[key] = value
        mine = {key: self.settings[key] for key in given}
        if seed is not None:
            self.randomness = Randomness(seed)
        try:
            self.feed(prompt)
            yield from self._pieces(length, StopWatch(stops)) if guide is None else self._guided(length, guide)
        finally:
            for key, value in before.items():
                if self.settings[key] == mine[key]:  # else it was changed on the way, and that stays
                    self.settings[key] = value

    def _pieces(self, length: int | None, watch: StopWatch) -> Iterator[Piece]:
        drawn = 0
        while drawn != length:
            shown = watch.push(self.step())
            drawn += 1
            if watch.found:
                self._reading.back_to(self._reading.character_count - watch.excess)
                yield from shown
                yield Piece("", finish="stop")
                return
            if drawn == length:
                shown += watch.flush()
                shown[-1].finish = "length"
            yield from shown

    def _guided(self, length: int | None, guide: Guide) -> Iterator[Piece]:
        """Pieces whose text matches a pattern."""
        place, left = START, length
        while not guide.over(place, left):
            piece = self.step(guide.allowed(place, left))
            place = guide.advance(place, piece.token)
            left = None if left is None else left - 1
            if left == 0:
                piece.finish = "length"
            yield piece
        if left != 0:
            yield Piece("", finish="stop")

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        stop: Sequence[str] = (),
        regex: str | None = None,
        compile: bool = False,
        **sampling: Any,
    ) -> str:
        """The continuation of ``prompt``, from a fresh beginning. The conversation stays as it is.

        The same seed gives the same text; without one (here or in the settings) each call draws its own. ``compile``
        writes by compiled steps, for long texts: see :meth:`continuations`.
        """
        return self.generate_batch([prompt], length, stop=stop, regex=regex, compile=compile, **sampling)[0]

    def generate_batch(
        self,
        prompts: Sequence[str],
        length: int = 200,
        *,
        stop: Sequence[str] = (),
        regex: str | None = None,
        compile: bool = False,
        **sampling: Any,
    ) -> list[str]:
        """The continuation of each prompt, all at once; each is what :meth:`generate` gives for it with this seed."""
        if isinstance(prompts, str):
            raise UsageError("generate_batch takes a list of prompts; for one there is generate")
        given = {**self.settings.merged(sampling), "stop": stop, "regex": regex, "compile": compile, "nats": False}
        return [done.text for done in self.continuations([Job(prompt) for prompt in prompts], length, **given)]

    def continuations(
        self,
        jobs: Sequence[Job],
        length: int = 200,
        *,
        stop: Sequence[str] = (),
        regex: str | None = None,
        compile: bool = False,
        nats: bool = True,
        **sampling: Any,
    ) -> list[Continuation]:
        """What :meth:`generate_batch` gives, with all there is to know about each; without ``nats`` not its surprise.

        With ``compile`` each is written by itself by compiled steps (``repl.compiled``), made once for a cell and its
        sizes; where that cannot be (no C++ compiler, a sampler at work), without, and a notice says why.
        """
        stops = check_stops(stop)
        _check_length(length)
        self._guide(regex, length, stops)
        values = self._drawing_values(sampling)
        model, samplers = self._reading.model, self.registry.samplers
        block = self.compiled(values, regex) if compile else None
        if block is not None:
            return [BulkWriting(model, block, samplers, values, job, length, stops).whole() for job in jobs]
        return continue_all(model, samplers, values, jobs, length, stops, regex, nats)

    def stream_compiled(
        self, prompt: str, length: int = 200, *, stop: Sequence[str] = (), regex: str | None = None, **sampling: Any
    ) -> Iterator[str]:
        """What :meth:`generate` gives with ``compile``, as it is written; without, if it cannot be."""
        stops = check_stops(stop)
        _check_length(length)
        values = self._drawing_values(sampling)
        block = self.compiled(values, regex)
        if block is None:
            return iter(self.stream(prompt, length, stop=stops, regex=regex, **{**sampling, "seed": values["seed"]}))
        return iter(BulkWriting(self._reading.model, block, self.registry.samplers, values, Job(prompt), length, stops))

    def _drawing_values(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        values = self.settings.merged(sampling)
        if values["seed"] is None:
            values["seed"] = random_seed()
        return values

    def compiled(self, values: Mapping[str, Any] | None = None, regex: str | None = None) -> CompiledBlock | None:
        """The compiled steps of the checkpoint that writes; None, with a notice why, if there can be none."""
        return self._blocks.find(self._reading.model, values or self.settings.values_now, regex)

    def score(self, text: str) -> Score:
        """How well the checkpoint foretells a text, read from a fresh beginning. The conversation stays as it is."""
        return score_text(self._reading.model, text, *steering(self.settings.values_now))

    def score_lines(self, texts: Iterable[str]) -> Iterator[LineScore]:
        """-log p of each text, each read as the first line of a text; in order, and many at once."""
        return score_lines(self._reading.model, texts)

    # ------------------------------------------------------------------ going back

    def snapshot(self) -> Snapshot:
        """This place, to come back to with :meth:`restore`."""
        reading = self._reading
        return Snapshot(reading, reading.seal(), reading.position, self.settings.values_now, reading.randomness)

    def restore(self, snapshot: Snapshot, *, settings: bool = True) -> None:
        """Go back to a place: what is written from there is as if nothing had happened since.

        Text, state and random numbers to the last bit, the cell that wrote, and the settings unless told otherwise.
        """
        self._use(snapshot.reading)
        if snapshot.passage.position is None:
            snapshot.passage.position = snapshot.position
        self._reading.go_to(snapshot.passage)
        self._reading.randomness = snapshot.randomness
        if settings:
            self.settings.replace(snapshot.values)

    def undo(self, characters: int) -> None:
        """Take back the last characters, as if they had never been; at most all."""
        if characters <= 0:
            return
        randomness = self.randomness
        self._chain = None  # the label may have been another then, and is to be what it is set to now
        self._reading.back_to(max(0, self._reading.character_count - characters))
        then = self._reading.randomness
        if (then.seed, then.sample) != (randomness.seed, randomness.sample):
            self.randomness = randomness.at(0)

    def reset(self) -> None:
        """Forget the text and begin anew, with the random numbers from their beginning. Settings and cell stay."""
        randomness = self.randomness.at(0)
        self._chain = None
        self._reading.back_to(0)
        self.randomness = randomness

    # ------------------------------------------------------------------ other cells

    def siblings(self) -> list[str]:
        """The cells of this family, rnn, lstm and gru first."""
        return list(self._sibling_paths())

    def _sibling_paths(self) -> dict[str, Path]:
        """The family's files by cell; those that are loaded count even if their files are gone."""
        paths: dict[str, Path] = {}
        with contextlib.suppress(CelloquyError):  # the file is gone: what is in memory goes on
            paths = self._reading.model.sibling_paths()
        for path, reading in self._readings.items():
            paths.setdefault(reading.model.cell_name, path)
        return paths

    def swap(self, cell: str) -> list[str]:
        """Let another cell of the family write on: load it, read the transcript with it.

        Returns the characters of the transcript that it does not know. CelloquyError if there is no such sibling, or
        if it cannot be loaded; then the one that wrote goes on.
        """
        paths = self._sibling_paths()
        if cell not in paths:
            raise CelloquyError(f"{self.family} has no cell {cell!r}; there are: {', '.join(paths)}")
        reading = self._readings.get(paths[cell])
        if reading is None:
            from checkpoints.loading import load_checkpoint

            return self.swap_to(load_checkpoint(paths[cell], registry=self.registry, device=self._device()))
        return self._continue_in(reading)

    def swap_to(self, loaded: Loaded | TextModel) -> list[str]:
        """Let any other checkpoint write on, from the same place of the text; returns as :meth:`swap` does."""
        return self._continue_in(Reading(text_model(loaded), self.randomness))

    def _device(self) -> str:
        return str(self._reading.model.device)

    def _continue_in(self, other: Reading) -> list[str]:
        """Read what ``other`` has not read of the transcript, and write on there."""
        current = self._reading
        if other is not current:
            text = current.text
            shared = common_length(other.text, text)
            if shared < other.character_count:
                other.back_to(shared)
            other.seal()
            other.steer(*steering(self.settings.values_now))
            other.randomness = current.randomness
            other.stream.memory = dict(current.stream.memory)
            other.read(text[shared:])
            self._use(other)
        return other.model.tokenizer.unknown_characters(other.text)

    def _use(self, reading: Reading) -> None:
        """Let this reading be the one that goes on; only siblings stay in memory."""
        self._reading.seal()
        self._reading = reading
        self._chain = None
        path = reading.model.loaded.path
        self._readings = {p: r for p, r in self._readings.items() if r.model.family == reading.model.family}
        self._readings[path] = reading


def _check_length(length: int | None) -> None:
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 0):
        raise UsageError(f"length must be a whole number of at least 0, not {length!r}")
