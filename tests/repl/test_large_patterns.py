"""Patterns that would make automata without end are refused, quickly; the others are as they were."""

from __future__ import annotations

import time

import pytest

from cells.errors import UsageError
from repl.pattern import byte_automaton


@pytest.mark.parametrize(
    "pattern",
    ["(a|b)*a(a|b){18}", "(a{1,1000}){1000}", "(.{0,500}){0,500}x", "(a?){2000}a{2000}", "[^a]{9999}"],
)
def test_a_pattern_of_too_many_states_is_refused_at_once(pattern: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError) as caught:
        byte_automaton(pattern)
    assert time.process_time() - began < 10
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("pattern", ["", "^$", "(?:)"])
def test_the_pattern_of_the_empty_text_is_one(pattern: str) -> None:
    automaton = byte_automaton(pattern)
    assert automaton.accepts.tolist() == [False, True]
    assert not automaton.table.any()


@pytest.mark.parametrize("pattern", ["((((a*)*)*)*)*", "(a|aa)+$", "(x+x+)+y", r"\w{1,3000}", "((a|b){1,50}c){1,50}"])
def test_a_pattern_that_only_looks_bad_is_used(pattern: str) -> None:
    assert len(byte_automaton(pattern).table) < 10_000
