"""Stop texts, however the stream is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import UsageError
from repl.piece import Piece
from repl.stops import StopWatch, check_stops

few = st.text("ab", max_size=12)
stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def watch(pieces: list[str], stops: list[str]) -> tuple[str, list[str], StopWatch]:
    """The text that was shown, what was shown after each piece, and the watch."""
    seen, steps = "", []
    watcher = StopWatch(stops)
    for piece in pieces:
        seen += "".join(watcher.push(Piece(piece)))
        steps.append(seen)
        if watcher.found:
            return seen, steps, watcher
    return seen + "".join(watcher.flush()), steps, watcher


@given(st.lists(few, max_size=8), stops)
def test_the_text_ends_where_the_first_stop_begins(pieces: list[str], stops: list[str]) -> None:
    seen, steps, watcher = watch(pieces, stops)
    whole = "".join(pieces[: len(steps)])
    places = [whole.find(stop) for stop in stops if stop in whole]
    assert watcher.found == bool(places)
    if places:
        assert whole[len(whole) - watcher.excess :].startswith(tuple(stops))
        assert seen == whole[: len(whole) - watcher.excess]
        assert not any(stop in seen for stop in stops)
    else:
        assert seen == whole


@given(st.lists(few, max_size=8), stops)
def test_nothing_is_shown_that_a_stop_might_take_back(pieces: list[str], stops: list[str]) -> None:
    seen, steps, _ = watch(pieces, stops)
    assert all(seen.startswith(step) for step in steps)


def test_only_what_may_be_a_beginning_is_held_back() -> None:
    watcher = StopWatch(["\n\n"])
    assert [str(piece) for letter in "a\nb\n" for piece in watcher.push(Piece(letter))] == ["a", "\n", "b"]


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(UsageError):
        check_stops(["a", ""])
    assert check_stops("ab") == ("ab",)
