"""``interegular``'s search for the states of an automaton, with an end: a short pattern can have millions of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from cells.errors import UsageError

MOST_WORK = 1_500_000
"""Parts of states that are looked at for a pattern: some seconds."""


@contextlib.contextmanager
def bounded_crawling(told: str, most_states: int) -> Iterator[None]:
    """While entered, automata are made as ever, only faster; UsageError for one of too many states or too much work.

    ``told`` names the pattern.
    """
    from interegular import fsm

    work = [0]

    def crawl(alphabet: Any, initial: Any, final: Callable[[Any], bool], follow: Callable[[Any, Any], Any]) -> Any:
        states, finals = [initial], set()
        arrows: dict[int, dict[Any, int]] = {}
        numbers = {_key(initial): 0}
        for number, state in enumerate(states):  # which grows meanwhile
            if final(state):
                finals.add(number)
            arrows[number] = here = {}
            for transition in alphabet.by_transition:
                work[0] += 1 + (len(state) if hasattr(state, "__len__") else 0)
                if work[0] > MOST_WORK or len(states) > most_states:
                    raise UsageError(f"{told} is too large: it has too many states")
                try:
                    after = follow(state, transition)
                except fsm.OblivionError:
                    continue
                place = numbers.setdefault(_key(after), len(states))
                if place == len(states):
                    states.append(after)
                here[transition] = place
        return fsm.FSM(alphabet, range(len(states)), 0, finals, arrows, __no_validation__=True)

    own = fsm.crawl
    fsm.crawl = crawl
    try:
        yield
    finally:
        fsm.crawl = own


def _key(state: Any) -> Any:
    """By which a state is known: sets and their frozen kind are the same, and dictionaries cannot be keys."""
    if isinstance(state, dict):
        return frozenset(state.items())
    return frozenset(state) if isinstance(state, set) else state
