"""Rows of a terminal: nothing is lost, nothing is wider than it may be, nothing hostile gets through."""

from __future__ import annotations

import itertools
import unicodedata

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit import utils
from prompt_toolkit.utils import get_cwidth

from repl.page import rows_after_reflow
from repl.screen import _row
from repl.visible import is_hostile
from repl.widths import columns_of, forget_widths
from repl.wrap import Row, Rows, cut, wrap, wrap_words

PRINTABLE = st.text(
    st.sampled_from("abc xyz,.日本語のテキスト한국어éñ😀🦉\n"),
    max_size=200,
)
ANYTHING = st.text(st.characters(codec=None), max_size=80)


def plain(row: Row) -> str:
    return "".join(text for _, text in row)


@given(PRINTABLE, st.integers(2, 40), st.lists(st.integers(0, 200), max_size=5))
def test_text_in_pieces_fills_the_same_rows_as_in_one(text: str, columns: int, cuts: list[int]) -> None:
    places = sorted({0, *(min(place, len(text)) for place in cuts), len(text)})
    rows, pieces = Rows(columns), []
    for start, end in itertools.pairwise(places):
        pieces += rows.add("", text[start:end])
    whole = Rows(columns)
    assert list(map(plain, pieces)) == list(map(plain, whole.add("", text)))
    assert plain(rows.tail) == plain(whole.tail)


@given(PRINTABLE, st.integers(2, 40))
def test_no_row_is_too_wide_and_no_character_is_lost(text: str, columns: int) -> None:
    rows = Rows(columns)
    finished = [*rows.add("", text), rows.tail]
    assert all(get_cwidth(plain(row)) <= columns for row in finished)
    assert "".join(map(plain, finished)) == text.replace("\n", "")


@given(PRINTABLE, st.integers(2, 40), st.integers(2, 40))
def test_resizing_in_the_middle_loses_and_repeats_nothing(text: str, before: int, after: int) -> None:
    rows = Rows(before)
    half = len(text) // 2
    finished = rows.add("", text[:half]) + rows.resize(after) + rows.add("", text[half:])
    assert "".join(map(plain, [*finished, rows.tail])) == text.replace("\n", "")
    assert get_cwidth(plain(rows.tail)) <= after


@given(ANYTHING)
def test_whatever_the_text_nothing_hostile_reaches_the_terminal(text: str) -> None:
    rows = Rows(30)
    shown = [plain(row) for row in [*rows.add("", text), rows.tail]]
    for row in shown:
        assert not any(is_hostile(character) or character == "\n" for character in row)
        assert not row or not unicodedata.combining(row[0])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[H", "␛[2J␛[H"),
        ("\x1b]52;c;ZXZpbA==\x07", "␛]52;c;ZXZpbA==␇"),
        ("a\rb\x08c\x7f", "a␍b␈c␡"),
        ("\x9b31m\x85", "<9B>31m<85>"),
        ("\u202eevil\u202c\u2066x", "<202E>evil<202C><2066>x"),
        ("\u0301lone", "◌\u0301lone"),
        ("e\u0301", "e\u0301"),
        ("x" + "\u0301" * 6, "x" + "\u0301" * 4 + "<301>" * 2),
        ("a\u200bb\u00ad", "a<200B>b<AD>"),
        ("👩\u200d🔬\n\u200dx", "<200D>x"),
        ("a\tb", "a       b"),
        ("\ud800", "<D800>"),
    ],
)
def test_what_could_steer_a_terminal_is_shown(text: str, shown: str) -> None:
    rows = Rows(80)
    rows.add("", text)
    assert plain(rows.tail) == shown


@given(ANYTHING)
def test_a_terminal_shows_exactly_the_rows(text: str) -> None:
    columns = 20
    screen = pyte.HistoryScreen(columns, 200, history=1000)
    stream = pyte.Stream(screen)
    rows = wrap([("", text)], columns)
    for row in rows:
        stream.feed(plain(row) + "\r\n")
    assert screen.cursor.y == min(len(rows), 199)
    assert screen.cursor.x == 0
    assert screen.title == ""


def test_combining_marks_take_no_room_and_emoji_take_two() -> None:
    rows = Rows(4)
    assert [plain(row) for row in rows.add("", "e\u0301e\u0301e\u0301e\u0301x😀😀")] == ["e\u0301" * 4, "x😀"]
    assert plain(rows.tail) == "😀"


@given(st.text(st.sampled_from("ab c日/\n"), max_size=60), st.integers(4, 30), st.integers(0, 20))
def test_notes_break_between_words_and_lose_none(text: str, columns: int, indent: int) -> None:
    rows = notes(text, columns, indent)
    assert all(get_cwidth(row) <= columns for row in rows)
    assert "".join("".join(rows).split()) == "".join(text.split())


def notes(text: str, columns: int, indent: int = 2) -> list[str]:
    return [plain(row) for row in wrap_words("", text, columns, " " * indent)]


def test_a_path_that_no_row_can_hold_breaks_after_a_slash_under_its_beginning() -> None:
    path = "/home/somebody/projects/celloquy/checkpoints/shipped/shakespeare.lstm.safetensors"
    assert notes(f"checkpoint  shakespeare.lstm\nfile        {path}", 60, 12) == [
        "checkpoint  shakespeare.lstm",
        "file        /home/somebody/projects/celloquy/checkpoints/",
        "            shipped/shakespeare.lstm.safetensors",
    ]
    assert notes("x" * 25, 10) == ["x" * 10, "  " + "x" * 8, "  " + "x" * 7]
    assert notes("日本語" * 4, 9) == ["日本語日", "  本語日", "  本語日", "  本語"]
    assert notes("日本語" * 2, 1) == list("日本語日本語")


def test_a_long_line_without_blanks_is_broken_with_few_looks_at_each_character(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counting(character: str) -> int:
        nonlocal looks
        looks += 1
        return get_cwidth(character)

    monkeypatch.setattr("repl.widths.get_cwidth", counting)
    assert len(notes("没" * 4000, 80, 0)) == 100
    assert looks < 40_000


@given(st.text(max_size=30), st.integers(1, 20))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    printable = "".join(character for character in text if character.isprintable())
    assert get_cwidth(cut(printable, columns)) <= columns


@pytest.mark.parametrize(
    ("widths", "cursor", "columns", "further"),
    [((70, 3, 60), (1, 2), 80, 0), ((70, 3, 60), (1, 2), 40, 1), ((70, 30), (1, 25), 20, 4), ((0, 5), (1, 0), 10, 0)],
)
def test_where_the_cursor_is_after_a_terminal_broke_its_rows_anew(
    widths: tuple[int, ...], cursor: tuple[int, int], columns: int, further: int
) -> None:
    assert rows_after_reflow(widths, cursor, columns) == further


def test_measuring_and_showing_rows_leaves_no_memory_of_them() -> None:
    remembered = len(utils._CHAR_SIZES_CACHE)
    for number in range(500):
        text = f"row {number}"
        assert columns_of(text) == len(text)
        assert _row([("", text)]).content.preferred_width(80) == 80
    assert len(utils._CHAR_SIZES_CACHE) <= remembered + 16
    assert columns_of("没a\u0301") == 3


def test_texts_whose_columns_were_asked_for_are_forgotten_and_characters_stay() -> None:
    for number in range(1000):
        assert get_cwidth(f"typed {number} 没") == len(f"typed {number} ") + 2
    long = "x" * 100
    assert get_cwidth(long) == 100
    assert len(utils._CHAR_SIZES_CACHE) > 1000
    forget_widths()
    assert all(len(text) <= 1 for text in utils._CHAR_SIZES_CACHE)
    assert "没" in utils._CHAR_SIZES_CACHE
    for number in range(40):  # it goes on by its own rule about long ones
        assert get_cwidth("y" * (100 + number)) == 100 + number
    assert sum(len(text) > 1 for text in utils._CHAR_SIZES_CACHE) <= 16


def test_another_prompt_toolkit_may_have_no_such_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(utils, "_CHAR_SIZES_CACHE")
    forget_widths()
