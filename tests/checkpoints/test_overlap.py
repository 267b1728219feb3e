"""The longest copied passages: exact, against a slow count; and fast on megabytes of the worst kind."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from checkpoints.overlap import overlap

CORPUS = "".join(random.Random(1).choices(["abc", "def", "gh", "ij ", "kl\n"], k=10_000))


def slowly(texts: list[str], corpus: str, minimum: int) -> tuple[int, int]:
    """The number of copied characters, and the length of the longest passage, by looking at every piece."""
    copied, longest = 0, 0
    for text in texts:
        marked = [False] * len(text)
        for begin in range(len(text)):
            for end in range(begin + minimum, len(text) + 1):
                if text[begin:end] in corpus:
                    longest = max(longest, end - begin)
                    marked[begin:end] = [True] * (end - begin)
        copied += sum(marked)
    return copied, longest


words = st.text("ab", max_size=40)


@given(st.lists(words, max_size=3), words, st.integers(1, 8))
def test_it_finds_what_looking_at_every_piece_finds(texts: list[str], corpus: str, minimum: int) -> None:
    found = overlap(texts, corpus, minimum)
    copied, longest = slowly(texts, corpus, minimum)
    assert found.copied == copied
    assert (len(found.passages[0].text) if found.passages else 0) == longest
    assert all(one.text in corpus for one in found.passages)


def test_a_copied_passage_is_found_with_its_line() -> None:
    copied = CORPUS[10_000:10_100]
    found = overlap(["x" * 50 + copied + "y" * 50, "zzz"], CORPUS)
    assert [one.text for one in found.passages] == [copied]
    assert found.passages[0].line == CORPUS[:10_000].count("\n") + 1
    assert (found.copied, found.characters) == (100, 203)
    assert found.to_json()["passages"][0]["characters"] == 100


def test_layout_does_not_count() -> None:
    found = overlap(["to  be or\n\n   not to be"], "x\ny\n\nto be\tor \n not to be", 5)
    assert [(one.text, one.line) for one in found.passages] == [("to be or\nnot to be", 4)]
    assert overlap([" " * 100], " " * 100).passages == ()


def test_no_passage_crosses_from_one_text_into_the_next() -> None:
    found = overlap([CORPUS[:30], CORPUS[30:60]], CORPUS)
    assert sorted(len(one.text) for one in found.passages) == [30, 30]
    assert found.share == 1.0


def test_the_longest_come_first_and_none_is_a_part_of_another() -> None:
    pieces = [CORPUS[begin : begin + length] for begin, length in ((100, 40), (500, 60), (100, 30), (900, 50))]
    found = overlap(pieces, CORPUS, most=2)
    assert [len(one.text) for one in found.passages] == [60, 50]
    assert len(overlap(pieces, CORPUS, most=9).passages) == 3


def test_nothing_in_common_is_nothing() -> None:
    for texts in ([], [""], ["q" * 100], ["short"]):
        found = overlap(texts, CORPUS)
        assert (found.copied, found.passages, found.share) == (0, (), 0.0)


def test_text_of_every_plane_is_compared_by_character() -> None:
    poem = "床前明月光疑是地上霜舉頭望明月低頭思故鄉" * 2 + "😀é"
    assert overlap([poem], "前言\n" + poem).passages[0] == overlap([poem], poem).passages[0].__class__(poem, 2)


def test_a_million_characters_of_one_letter_are_read_once() -> None:
    found = overlap(["a" * 20_000], "a" * 1_000_000)
    assert (found.copied, len(found.passages[0].text)) == (20_000, 20_000)
