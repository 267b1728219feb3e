"""The sampler's thread: does what it is asked between two tokens, and writes on while there is room on the screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from cells.errors import CelloquyError
from plugins.guard import one_line
from repl.conversation import Conversation
from repl.events import Outbox

Job = Callable[[Conversation], None]


class Worker:
    """Owns the session: whoever wants something of it hands in a job, and jobs come before the next token.

    So a knob turned takes effect at the very next token, no lock is held while a model computes, and keys stay live
    while a checkpoint loads or a long transcript is read again.
    """

    def __init__(self, make: Callable[[], Conversation], outbox: Outbox) -> None:
        self._make = make
        self._outbox = outbox
        self._jobs: deque[tuple[Job, bool]] = deque()
        self._lines = 0
        self._ready = threading.Condition()
        self._closing = False
        self._due = 0.0
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.session: Conversation | None = None
        self.failure: BaseException | None = None
        outbox.on_room = self._nudge

    def start(self) -> None:
        """Begin: the session is made first, in the thread, so that the screen need not wait for it."""
        self._thread.start()

    def submit(self, job: Job, *, quiet: bool = False) -> None:
        """Do this between two tokens, after what was handed in before. A quiet job changes nothing that is shown."""
        with self._ready:
            self._jobs.append((job, quiet))
            self._ready.notify()

    def give(self, line: str) -> None:
        """Hand in a line that a person gave; :attr:`waiting` until it has been taken."""
        with self._ready:
            self._lines += 1
        self.submit(lambda session: self._take(session, line))

    @property
    def waiting(self) -> bool:
        """Whether a line was given that has not been taken yet."""
        return self._lines > 0

    def _take(self, session: Conversation, line: str) -> None:
        try:
            session.submit(line)
        finally:
            with self._ready:
                self._lines -= 1

    def close(self, timeout: float = 10.0) -> None:
        """Finish the jobs that were handed in, then end the thread; returns when it has ended."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _nudge(self) -> None:
        with self._ready:
            self._ready.notify()

    def _run(self) -> None:
        try:
            self.session = self._make()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.failure = error
            self._outbox.touch()
            return
        self._outbox.touch()
        while True:
            found = self._next(self.session)
            if found is None:
                return
            self._do(found[0], self.session, quiet=found[1])

    def _do(self, job: Job, session: Conversation, quiet: bool) -> None:
        if not quiet and job is not _step:
            session.busy = True
            self._outbox.touch()  # seen only if the job takes longer than a frame
        self._guarded(job, session)
        session.busy = False
        if not quiet:
            self._outbox.touch()

    def _next(self, session: Conversation) -> tuple[Job, bool] | None:
        """The next thing to do, waiting for it; None at the end."""
        with self._ready:
            while True:
                if self._jobs:
                    return self._jobs.popleft()
                if self._closing:
                    return None
                wait = self._pause_before_step(session)
                if wait == 0:
                    return _step, False
                self._ready.wait(wait)

    def _pause_before_step(self, session: Conversation) -> float | None:
        """Seconds until the next token may be drawn; None while there is nothing to draw or no room for it."""
        if not session.running or self._outbox.full:
            return None
        if not session.speed:
            return 0
        now = time.monotonic()
        # A stream that was late does not hurry to make up for it.
        self._due = min(max(self._due, now - 0.1), now + 1 / session.speed)
        return max(0.0, self._due - now)

    def _guarded(self, job: Job, session: Conversation) -> None:
        try:
            job(session)
        except CelloquyError as error:
            self._complain(job, session, str(error))
        except Exception as error:  # noqa: BLE001 - a plugin's cell or sampler may raise anything; the REPL stays
            self._complain(job, session, one_line(error))
        if job is _step and session.speed:
            self._due += 1 / session.speed

    @staticmethod
    def _complain(job: Job, session: Conversation, message: str) -> None:
        if job is _step:
            session.stop()
            message += "; the text is kept"
        session.say(message, "error")


def _step(session: Conversation) -> None:
    session.step()
