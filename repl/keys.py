"""The keys. While text streams and nothing is typed, bare keys turn knobs; with text in the line they edit it."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.filters import Condition, Filter, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from repl.completion import complete_now
from repl.conversation import Conversation
from repl.help_pages import HOW_TO_LEAVE
from repl.pastes import Pastes
from repl.screen import Screen


def bind_keys(screen: Screen, leave: Callable[[int], None]) -> None:
    """Bind every key of the REPL. ``leave`` ends the program with a status."""
    session_is = screen.worker
    empty = Condition(lambda: not screen.buffer.text)
    live = Condition(lambda: session_is.session is not None and session_is.session.live)
    listing = Condition(lambda: screen.chosen_knob is not None)
    pastes = Pastes()
    _bind_line(screen, pastes, leave, live)
    _bind_temperature(screen)
    _bind_live(screen, live, empty & ~listing & ~is_searching)
    _bind_knob_list(screen, listing)


def _turn(screen: Screen, name: str, direction: int) -> None:
    def job(session: Conversation) -> None:
        if name in session.knobs:
            session.knobs.turn(name, direction)

    screen.worker.submit(job)


def _bind_line(screen: Screen, pastes: Pastes, leave: Callable[[int], None], live: Condition) -> None:
    keys: KeyBindings = screen.keys
    buffer = screen.buffer

    @keys.add("enter", filter=~is_searching)
    def submit(event: KeyPressEvent) -> None:
        line = pastes.expand(buffer.text)
        if line:
            buffer.append_to_history()
        buffer.reset()
        screen.say("")
        screen.worker.give(line)

    @keys.add("tab", filter=~is_searching)
    def complete(event: KeyPressEvent) -> None:
        complete_now(buffer)

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        buffer.insert_text("\n")

    @keys.add("<bracketed-paste>")
    def paste(event: KeyPressEvent) -> None:
        buffer.insert_text(pastes.take(event.data))

    @keys.add("c-c")
    @keys.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        if live():
            screen.worker.submit(lambda session: session.stop())
        elif buffer.text:
            buffer.reset()
        else:
            screen.say(HOW_TO_LEAVE)

    @keys.add("c-d", filter=Condition(lambda: not buffer.text))
    def end(event: KeyPressEvent) -> None:
        leave(0)

    @keys.add("c-z")
    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add("c-l")
    def clear(event: KeyPressEvent) -> None:
        event.app.renderer.clear()
        screen.commit([])


def _bind_temperature(screen: Screen) -> None:
    @screen.keys.add("c-up")
    def up(event: KeyPressEvent) -> None:
        _turn(screen, "temperature", 1)

    @screen.keys.add("c-down")
    def down(event: KeyPressEvent) -> None:
        _turn(screen, "temperature", -1)


def _bind_live(screen: Screen, live: Condition, bare: Filter) -> None:
    """What the bare keys do in mid-stream."""
    keys = screen.keys
    for key, name, direction in (
        ("up", "temperature", 1),
        ("down", "temperature", -1),
        ("right", "cell", 1),
        ("left", "cell", -1),
    ):
        _bind_turn(screen, key, name, direction, live & bare)

    @keys.add(" ", filter=live & bare)
    def pause(event: KeyPressEvent) -> None:
        screen.worker.submit(lambda session: session.pause())

    # Eager with an empty line: no other key that begins with Escape makes sense there, and stopping should not wait.
    keys.add("escape", filter=live & bare, eager=True)(_stop(screen))
    keys.add("escape", filter=live)(_stop(screen))


def _bind_turn(screen: Screen, key: str, name: str, direction: int, when: Filter) -> None:
    @screen.keys.add(key, filter=when, eager=True)
    def turn(event: KeyPressEvent) -> None:
        _turn(screen, name, direction)


def _stop(screen: Screen) -> Callable[[KeyPressEvent], None]:
    def stop(event: KeyPressEvent) -> None:
        screen.worker.submit(lambda session: session.stop())

    return stop


def _bind_knob_list(screen: Screen, listing: Condition) -> None:
    """F2 opens the list of all knobs; arrows choose and turn while text goes on streaming."""
    keys = screen.keys

    @keys.add("f2")
    def toggle(event: KeyPressEvent) -> None:
        there = screen.session is not None and len(screen.session.knobs)
        screen.chosen_knob = 0 if screen.chosen_knob is None and there else None

    @keys.add("up", filter=listing, eager=True)
    @keys.add("down", filter=listing, eager=True)
    def choose(event: KeyPressEvent) -> None:
        session = screen.session
        if session is not None and screen.chosen_knob is not None:
            step = 1 if event.key_sequence[0].key == "down" else -1
            screen.chosen_knob = (screen.chosen_knob + step) % len(session.knobs)

    @keys.add("left", filter=listing, eager=True)
    @keys.add("right", filter=listing, eager=True)
    def turn(event: KeyPressEvent) -> None:
        session = screen.session
        if session is not None and screen.chosen_knob is not None:
            name = list(session.knobs)[screen.chosen_knob].name
            _turn(screen, name, 1 if event.key_sequence[0].key == "right" else -1)

    @keys.add("escape", filter=listing, eager=True)
    def close(event: KeyPressEvent) -> None:
        screen.chosen_knob = None
