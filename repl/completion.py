"""Completion of commands and their arguments, from the commands' own declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    PathCompleter,
    get_common_complete_suffix,
)
from prompt_toolkit.document import Document

if TYPE_CHECKING:
    from repl.conversation import Conversation

FILES = ("save", "open")


class SlashCompleter(Completer):
    """Completes a line that begins with a slash. ``session`` gives the present session, None while it loads."""

    def __init__(self, session: Callable[[], Conversation | None]) -> None:
        self._session = session
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Command names, then what the command's declaration offers for its argument."""
        session, text = self._session(), document.text
        if session is None or not text.startswith("/") or text.startswith("//") or "\n" in text:
            return
        before = document.text_before_cursor
        name, space, argument = before[1:].partition(" ")
        if not space:
            for command in session.commands:
                if command.name.startswith(name.lower()):
                    yield Completion(command.name, -len(name), display=f"/{command.name}", display_meta=command.help)
        elif name in FILES:
            yield from self._paths.get_completions(Document(argument), complete_event)
        elif name in session.commands:
            yield from self._argument(session, name, argument)

    @staticmethod
    def _argument(session: Conversation, name: str, argument: str) -> Iterable[Completion]:
        complete = session.commands.find(name).complete
        for candidate in complete(session) if complete is not None else ():
            if candidate.startswith(argument):
                yield Completion(candidate, -len(argument))


def complete_now(buffer: Buffer) -> None:
    """What Tab does: the next of the completions shown; else the only one, or what all have in common and the list.

    Worked out at once, because the list that comes up while typing may not be there yet when a quick finger asks.
    """
    if buffer.complete_state is not None:
        buffer.complete_next()
        return
    found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif found:
        buffer.insert_text(get_common_complete_suffix(buffer.document, found))
        buffer.start_completion()
