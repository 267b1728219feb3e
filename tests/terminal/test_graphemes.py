"""Characters as people count them: /undo never leaves half of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal_kit.families import save_cell
from terminal_kit.talk import Talk
from wcwidth import iter_graphemes

from cells.lstm import LSTM
from checkpoints.tokenizers import ByteTokenizer
from repl.graphemes import count_graphemes, last_graphemes

MIXED = st.text(st.sampled_from("ab \n\re\u0301\u0323한글\u1112\u1161👩\u200d🔬🇩🇪🇫\ufe0f❤क\u094dष日"), max_size=40)


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("ab", "b"),
        ("ae\u0301", "e\u0301"),
        ("ao\u0308\u0323", "o\u0308\u0323"),
        ("a👩\u200d🔬", "👩\u200d🔬"),
        ("a👍🏽", "👍🏽"),
        ("🇫🇷🇩🇪", "🇩🇪"),
        ("a❤\ufe0f", "❤\ufe0f"),
        ("a\r\n", "\r\n"),
        ("\n\r", "\r"),
        ("각\u1100\u1161\u11a8", "\u1100\u1161\u11a8"),
        ("\u0301", "\u0301"),
        ("", ""),
    ],
)
def test_a_character_is_what_a_person_sees_as_one(text: str, last: str) -> None:
    assert last_graphemes(text, 1) == last
    assert count_graphemes(last) == (1 if last else 0)


@given(MIXED, st.integers(0, 50))
def test_from_the_end_and_from_the_beginning_the_characters_are_the_same(text: str, count: int) -> None:
    whole = list(iter_graphemes(text))
    assert last_graphemes(text, count) == "".join(whole[max(0, len(whole) - count) :])
    assert count_graphemes(text) == len(whole)


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint that knows every character there is."""
    return str(save_cell(tmp_path_factory.mktemp("bytes"), "bytes", LSTM(), "lstm", ByteTokenizer()))


@pytest.mark.parametrize(
    ("text", "count", "left"),
    [
        ("naive\u0301", 1, "naiv"),
        ("a👩\u200d🔬👩\u200d🔬", 1, "a👩\u200d🔬"),
        ("ab\r\nc", 2, "ab"),
        ("日本語", 2, "日"),
    ],
)
def test_undo_takes_back_whole_characters_and_the_model_stands_where_it_stood(
    here: Path, bytewise: str, text: str, count: int, left: str
) -> None:
    talk = Talk(bytewise, None)
    talk.session.writer.feed(text)
    talk.say(f"/undo {count}")
    assert talk.transcript == left
    assert talk.notes[-1] == f"took back {count} character{'' if count == 1 else 's'}"
    fresh = Talk(bytewise, None)
    fresh.session.writer.feed(left)
    assert talk.bits() == fresh.bits()
