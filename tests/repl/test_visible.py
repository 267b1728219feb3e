"""Nothing that a model or a stranger writes can steer the terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from repl.table import size, table
from repl.visible import describe, one_line, visible

every = st.text(st.characters(codec=None), max_size=40)  # type: ignore[arg-type]


@given(every)
def test_no_control_character_is_left(text: str) -> None:
    for character in visible(text):
        assert unicodedata.category(character) not in ("Cc", "Cs") or character in "\n\t"
        assert character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029"


@given(every)
def test_a_message_stays_on_its_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert "\t" not in one_line(text)


@given(st.text("abcXYZ é你\n", max_size=20))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_control_characters_are_named() -> None:
    assert visible("\x1b[31m\x07\x7f\x9b") == "␛[31m␇␡<9B>"
    assert describe("é") == "'é' (U+00E9)"
    assert describe("\x1b") == "␛ (U+001B)"
    assert describe(" ") == "' ' (U+0020)"


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    assert table(("A", "N"), [("你好", "1"), ("x", "10")], right=(1,)) == "A      N\n你好   1\nx     10"


def test_sizes_are_for_people() -> None:
    assert [size(count) for count in (999, 1000, 2_450_000, 3 * 10**12)] == ["999 B", "1.0 kB", "2.5 MB", "3000.0 GB"]
