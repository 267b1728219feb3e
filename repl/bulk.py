"""Writing in compiled blocks: one continuation by itself, a block of tokens at a time. See ``repl.compiled``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cells.block import CAPACITY
from cells.errors import CelloquyError
from cells.state import State
from plugins.sampler import Stream
from repl.batch import Continuation, Job, Row, begin
from repl.chain import Chain
from repl.randomness import keyed_uniform, stream_key, uniforms_from
from repl.sampling import as_logits, surprises
from repl.stops import StopWatch
from repl.text_model import Position, TextModel

if TYPE_CHECKING:
    from plugins.entries import SamplerEntry
    from plugins.registry import Registry
    from repl.compiled import CompiledBlock


class Blocks:
    """The compiled steps of the model in use, made when they are asked for and kept while it is the same."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.known: dict[TextModel, CompiledBlock] = {}

    def find(self, model: TextModel, values: Mapping[str, Any], regex: str | None = None) -> CompiledBlock | None:
        """The steps of a model; None, with a notice why, if there can be none for it or these sampling values.

        Samplers and patterns stand outside of them.
        """
        from repl.compiled import compiled_block

        outside = Chain(self._registry.samplers, values).samplers
        outside += [] if regex is None else ["a pattern"]
        try:
            if outside:
                raise CelloquyError(f"compiled steps draw without {', '.join(outside)}")
            if model not in self.known:
                self.known = {model: compiled_block(model, _tell)}
            return self.known[model]
        except CelloquyError as error:
            self._registry.notice(f"{error}; written without --compile")
            return None


def _tell(line: str) -> None:
    """Something takes long: standard error is told why."""
    print(line, file=sys.stderr, flush=True)


class BulkWriting:
    """One continuation on the way: iterating yields its text, block by block; ``done`` tells of it afterwards.

    ``values`` are checked sampling values with a seed, for which no sampler but the temperature is active.
    """

    def __init__(
        self,
        model: TextModel,
        block: CompiledBlock,
        samplers: Iterable[SamplerEntry],
        values: Mapping[str, Any],
        job: Job,
        length: int,
        stops: tuple[str, ...] = (),
    ) -> None:
        self._model = model
        self._block = block
        self._chain = Chain(samplers, values, model.banned)
        self._seed = values["seed"]
        self._length = length
        self._row = Row(job, Stream(vocabulary=model.vocabulary), model.tokenizer.stream_decoder(), StopWatch(stops))
        self.done: Continuation | None = None

    def __iter__(self) -> Iterator[str]:
        """The text of each block; nothing of a stop text is shown."""
        row, shown = self._row, 0
        for tokens, nats in self._blocks():
            row.extend(tokens, nats)
            yield "".join(row.pieces[shown:])
            shown = len(row.pieces)
            if row.watch.found:
                break
        self.done = row.finished(self._seed)
        yield "".join(row.pieces[shown:])

    def whole(self) -> Continuation:
        """The continuation, once it is written."""
        for _ in self:
            pass
        assert self.done is not None
        return self.done

    def _blocks(self) -> Iterator[tuple[list[int], list[float]]]:
        """Tokens and their surprises, until the length is reached."""
        if self._length == 0:
            return
        state, (token,) = begin(self._model, [self._row], None)
        key = stream_key(self._seed, self._row.job.sample)
        for index in range(0, self._length, CAPACITY):
            count = min(CAPACITY, self._length - index)
            numbers = uniforms_from(key, index, CAPACITY)
            tokens, nats, after = self._block.write(token, state, numbers, self._chain.temperature, count)
            if not math.isfinite(math.fsum(nats)):  # infinite logits, or none that is a number: the long way knows
                tokens, nats, after = self._by_steps(Position(state, token), key, index, count)
            yield tokens, nats
            state, token = after, tokens[-1]

    def _by_steps(self, place: Position, key: int, index: int, count: int) -> tuple[list[int], list[float], State]:
        tokens: list[int] = []
        nats: list[float] = []
        for number in range(index, index + count):
            logits, state = self._model.ahead(place)
            tokens.append(self._chain.choose(logits, self._row.stream, keyed_uniform(key, number)))
            nats.append(float(surprises(as_logits(logits), tokens[-1])))
            place = Position(state, tokens[-1])
        return tokens, nats, place.state
