"""What ``celloquy generate`` prints: a stream, several texts, or JSON."""

from __future__ import annotations

import functools
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

from repl.batch import Continuation, Job
from repl.generator import Writer
from repl.processes import cores, write_shared
from repl.sampling_options import effective_temperature
from repl.streams import is_terminal, shown, to_json
from repl.text_model import ROWS
from repl.unknown import unknown_warning
from repl.work_progress import WorkProgress

FLUSH_SECONDS = 0.03
"""How often a stream is handed on: what comes faster is handed on together."""


@dataclass
class Generation:
    """One call of ``generate``: the writer and how its continuations are printed. The writer's seed is the run's."""

    writer: Writer
    length: int
    stops: tuple[str, ...] = ()
    samples: int = 1
    echo: bool = True
    regex: str | None = None
    best_of: int | None = None
    progress: bool = False
    compile: bool = False
    _told: set[str] = field(default_factory=set)

    def print_stream(self, prompt: str) -> None:
        """Print one continuation while it is written. A terminal gets a line break at the end, if there is none."""
        self._tell_unknown([prompt])
        write = self.writer.stream_compiled if self.compile else self.writer.stream
        stream = write(prompt, self.length, stop=self.stops, seed=self.writer.seed, regex=self.regex)
        last = self._put(prompt) if self.echo else ""
        due = 0.0
        for piece in stream:
            last = self._put(piece) or last
            now = time.monotonic()
            if now >= due:
                sys.stdout.flush()
                due = now + FLUSH_SECONDS
        if is_terminal(sys.stdout) and not last.endswith("\n"):
            sys.stdout.write("\n")

    def _put(self, text: str) -> str:
        sys.stdout.write(shown(text))
        return text

    def print_texts(self, prompts: Iterable[str]) -> None:
        """Print many continuations, each ending its line, with an empty line between them."""
        for number, done in enumerate(self._continuations(prompts, nats=self.best_of is not None)):
            text = (done.job.prompt if self.echo else "") + done.text
            sys.stdout.write(("\n" if number else "") + shown(text).removesuffix("\n") + "\n")

    def print_json(self, prompts: Iterable[str]) -> None:
        """Print an object a line."""
        for done in self._continuations(prompts):
            sys.stdout.write(to_json(self._object(done)) + "\n")

    def _object(self, done: Continuation) -> dict[str, Any]:
        label, strength = self.writer.settings["label"], self.writer.settings["label_strength"]
        return {
            "prompt": done.job.prompt,
            "text": done.text,
            "tokens": done.tokens,
            "finish": done.finish,
            "cell": self.writer.cell_name,
            "checkpoint": self.writer.name,
            "temperature": effective_temperature(self.writer.settings),
            "seed": done.seed,
            "sample": done.job.sample,
            "nats_per_token": done.nats_per_token,
            **({} if label is None else {"label": label}),
            **({} if label is None or strength == 1 else {"label_strength": strength}),
        }

    def _continuations(self, prompts: Iterable[str], nats: bool = True) -> Iterator[Continuation]:
        """All continuations in order, a batch at a time: memory is that of one batch, however many there are."""
        total = len(prompts) if isinstance(prompts, Sized) else None
        progress = WorkProgress("prompts", total, self.progress)
        drawn = self.best_of or self.samples
        jobs = (Job(prompt, sample) for prompt in prompts for sample in range(drawn))
        kept: list[Continuation] = []
        write = functools.partial(self._write, nats=nats)
        processes = 1 if self.compile else cores(self.writer)  # each process would compile for itself
        a_token = sum(tensor.numel() for tensor in self.writer.loaded.model.state_dict().values())
        try:
            while batch := list(itertools.islice(jobs, ROWS * processes)):
                self._tell_unknown([job.prompt for job in batch])
                made = write_shared(write, batch, len(batch) * self.length * a_token, processes)
                progress.add(sum(job.sample == drawn - 1 for job in batch), sum(done.tokens for done in made))
                yield from made if self.best_of is None else self._best(made, kept)
                sys.stdout.flush()
        finally:
            progress.close()

    def _write(self, jobs: Sequence[Job], nats: bool) -> list[Continuation]:
        given: dict[str, Any] = {"stop": self.stops, "regex": self.regex, "compile": self.compile, "nats": nats}
        return self.writer.continuations(jobs, self.length, seed=self.writer.seed, **given)

    def _best(self, made: Iterable[Continuation], kept: list[Continuation]) -> Iterator[Continuation]:
        """The ``samples`` likeliest of each prompt's ``best_of``, once all of them are there; ``kept`` are the others.

        Likelihood is that of a token in the mean, by the model itself, so that a short text is not better for that.
        """
        for done in made:
            kept.append(done)
            kept.sort(key=_surprise)
            del kept[self.samples :]
            if done.job.sample + 1 == self.best_of:
                yield from kept
                kept.clear()

    def _tell_unknown(self, prompts: Iterable[str]) -> None:
        """Name the characters that the checkpoint does not know, each once."""
        unknown = self.writer.loaded.tokenizer.unknown_characters("".join(prompts))
        new = [character for character in unknown if character not in self._told]
        if new:
            self._told.update(new)
            print(unknown_warning(self.writer.name, new), file=sys.stderr, flush=True)


def _surprise(done: Continuation) -> float:
    """How unlikely a continuation is to the model; one without a token is the least likely of all."""
    return math.inf if done.nats_per_token is None else done.nats_per_token
