"""The REPL as a program: from a checkpoint's name to a conversation on this terminal, and out of it again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cells.errors import CelloquyError, UsageError
from cells.memory import give_back_freed_memory
from checkpoints.finding import find, home
from checkpoints.header import CLASSIFY, read_header
from plugins.guard import one_line
from repl.autosave import EVERY, Autosave, latest
from repl.events import Note, Outbox, Sink
from repl.help_pages import CLASSIFIER_GREETING, GREETING
from repl.registration import registry as shared_registry
from repl.terminal import is_dumb
from repl.widths import forget_widths

if TYPE_CHECKING:
    from checkpoints.labels.classifier import Classifier
    from plugins.registry import Registry
    from repl.conversation import Conversation
    from repl.models import Models
    from repl.screen import Screen
    from repl.session import Session

HUNG_UP = 129
TERMINATED = 143
TIDY_EVERY = 10.0
"""Seconds between two times that freed memory is given back."""


@dataclass(frozen=True)
class Start:
    """How a conversation begins."""

    name: str
    cell: str | None = None
    length: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    chat: bool = False
    history: bool = True
    registry: Registry | None = None
    resume: bool = False
    classifies: bool = False


def run_repl(
    name: str,
    *,
    cell: str | None = None,
    length: int | None = None,
    settings: Mapping[str, Any] | None = None,
    chat: bool = False,
    history: bool = True,
    registry: Registry | None = None,
    resume: bool = False,
) -> int:
    """Talk to a checkpoint until the person leaves; the exit status.

    ``settings`` are sampling values by key. Without ``history`` nothing is written anywhere. ``resume`` goes on with
    the conversation that was going on last, whatever became of it.

    UsageError without a terminal on both ends; CelloquyError if the checkpoint cannot be found or loaded.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the REPL needs a terminal for input and output; in scripts use celloquy generate")
    classifies = False
    if resume:
        latest()
    else:
        classifies = read_header(find(name, cell)).task == CLASSIFY
    start = Start(name, cell, length, settings or {}, chat, history, registry, resume, classifies)
    if is_dumb():
        from repl.plain import run_plain

        return run_plain(start)
    return _Program(start).run()


def make_session(start: Start, out: Sink) -> Conversation:
    """Load the checkpoint and begin a conversation. Takes a second or two: the first import of torch is here."""
    from repl.models import Models
    from repl.session import DEFAULT_LENGTH, Session

    models = Models(start.registry)
    (start.registry or shared_registry()).on_notice = lambda message: out(Note(message, "warning", aside=True))
    if start.resume:
        return _resumed(start, out, models)
    if start.classifies:
        return _classifier(start, out)
    writer = models.writer(models.load(start.name, start.cell), start.settings)
    session = Session(writer, out, models, length=DEFAULT_LENGTH if start.length is None else start.length)
    if start.chat:
        session.set_chat(True)
    return session


def _classifier(start: Start, out: Sink) -> Conversation:
    """A conversation with a classifier."""
    from checkpoints.labels.classifier import load_classifier
    from repl.classifying import ClassifierTalk

    if start.settings or start.chat or start.length is not None:
        raise UsageError(f"{start.name} tells labels and writes nothing; options of writing make no sense with it")

    def load(name: str, cell: str | None = None) -> Classifier:
        return load_classifier(name, cell, start.registry)

    return ClassifierTalk(load(start.name, start.cell), out, load)


def _resumed(start: Start, out: Sink, models: Models) -> Session:
    """The conversation that was going on last, with what was asked for on the command line over it."""
    from repl.opening import open_session, saved_checkpoint
    from repl.session import Session

    path = latest()
    session = Session(models.writer(models.load(saved_checkpoint(path)), {}), out, models)
    open_session(session, str(path))
    for name, value in start.settings.items():
        session.writer.settings[name] = value
    session.say(f"going on where it stood, {session.size:,} characters")
    session.show_place()
    return session


class _Program:
    """The screen, the sampler's thread, and the orderly end of both."""

    def __init__(self, start: Start) -> None:
        from repl.history import LineHistory
        from repl.keys import bind_keys
        from repl.screen import Screen
        from repl.terminal import open_output
        from repl.worker import Worker

        self._outbox = Outbox()
        self._worker = Worker(lambda: make_session(start, self._outbox.put), self._outbox)
        kept = home() / "history.jsonl"
        first = not kept.exists()
        lines = LineHistory(kept if start.history else None)
        self._screen: Screen = Screen(self._worker, self._outbox, open_output(), start.name, lines)
        self._leaving = False
        self._fault: Exception | None = None
        self._autosave = Autosave() if start.history else None
        bind_keys(self._screen, self.leave)
        greeting = CLASSIFIER_GREETING if start.classifies else GREETING
        for line in greeting if first else greeting[-1:]:
            self._outbox.put(Note(line))

    def run(self) -> int:
        """Until the person leaves, the terminal closes, or the checkpoint turns out not to load."""
        self._worker.start()
        try:
            status = self._screen.app.run(pre_run=self._begin, set_exception_handler=False)
        except EOFError:  # the terminal is gone
            status = HUNG_UP
        finally:
            self._keep_all()  # where the terminal vanished, nobody has yet
            self._worker.close()
            if self._screen.output.gone:
                _let_go_of_terminal()
        if self._worker.failure is not None:
            raise self._worker.failure
        if self._fault is not None:
            kept = "; celloquy repl --continue goes on with the text" if self._autosave is not None else ""
            raise CelloquyError(f"the screen failed: {one_line(self._fault)}{kept}") from self._fault
        return status

    def _begin(self) -> None:
        self._screen.app.create_background_task(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        for name, status in (("SIGHUP", HUNG_UP), ("SIGTERM", TERMINATED)):
            if hasattr(signal, name):
                loop.add_signal_handler(getattr(signal, name), self._signalled, status)
        if self._autosave is not None:
            self._screen.app.create_background_task(self._keep(self._autosave))
        self._screen.app.create_background_task(self._tidy())
        try:
            await self._screen.pump(self._look)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a person before a dead screen
            self._fault = error
            self.leave(1)

    async def _keep(self, autosave: Autosave) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._worker.submit(lambda session: session.keep(autosave), quiet=True)

    async def _tidy(self) -> None:
        """A REPL that is open for days holds no more than it needs."""
        while True:
            await asyncio.sleep(TIDY_EVERY)
            forget_widths()
            self._worker.submit(_give_back, quiet=True)

    def _look(self) -> None:
        """Once a frame: whether it is time to go."""
        session = self._worker.session
        if self._worker.failure is not None or (session is not None and session.leaving):
            self.leave(0)

    def _signalled(self, status: int) -> None:
        self._screen.output.gone = status == HUNG_UP
        self.leave(status)

    def leave(self, status: int) -> None:
        """Stop what is being written, show and keep it, and end."""
        if not self._leaving:
            self._leaving = True
            self._screen.app.create_background_task(self._leave(status))

    async def _leave(self, status: int) -> None:
        self._keep_all()
        await asyncio.get_running_loop().run_in_executor(None, self._worker.close)
        self._screen.finish()
        if self._screen.app.is_running and not self._screen.app.is_done:
            self._screen.app.exit(result=status)

    def _keep_all(self) -> None:
        """Stop what is being written, and keep the conversation as it stands then."""
        self._worker.submit(lambda session: session.stop())
        if (autosave := self._autosave) is not None:
            self._worker.submit(lambda session: session.keep(autosave, now=True))

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours in a callback: said in one line, with its trace where it is asked for; the text goes on."""
        error = context.get("exception")
        self._outbox.put(Note(f"internal error: {error or context.get('message')}", "error", aside=True))
        if os.environ.get("CELLOQUY_DEBUG") and isinstance(error, BaseException):
            self._outbox.put(Note("".join(traceback.format_exception(error)), aside=True))


def _give_back(session: Conversation) -> None:
    give_back_freed_memory()


def _let_go_of_terminal() -> None:
    """The terminal is closed: what the interpreter still has to say at its end goes nowhere, without complaint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
