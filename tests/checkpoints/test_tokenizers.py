from __future__ import annotations

import json
import time
from collections.abc import Callable, Sized

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints.tokenizers import (
    LONG,
    UNKNOWN,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    make_tokenizer,
    tokenizer_from_json,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXTS)
def test_characters_of_the_corpus_come_back_as_they_were(text: str) -> None:
    tokenizer = CharTokenizer(text)
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert 0 not in tokens
    assert tokenizer.unknown_characters(text) == []


@given(TEXTS, st.text())
def test_unknown_characters_read_as_id_0_and_are_named_in_order(vocabulary: str, text: str) -> None:
    tokenizer = CharTokenizer(vocabulary)
    strange = [c for c in text if c not in vocabulary]
    assert [c for c, token in zip(text, tokenizer.encode(text), strict=True) if token == 0] == strange
    assert tokenizer.unknown_characters(text) == list(dict.fromkeys(strange))


@given(st.text())
def test_bytes_are_those_of_utf_8_and_nothing_is_unknown(text: str) -> None:
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(text)
    assert tokens == tokenizer.encode_array(text).tolist()
    assert all(0 <= token < tokenizer.vocabulary_size for token in tokens)
    assert tokenizer.unknown_id is None
    assert tokenizer.unknown_characters(text) == []
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert bytes(tokens) == text.encode("utf-8")
        assert tokenizer.decode(tokens) == text


@given(st.text(st.sampled_from("ab\nüλ漢😀")))
def test_long_and_short_texts_encode_alike(piece: str) -> None:
    tokenizer = CharTokenizer("abü漢")
    repeats = LONG // max(1, len(piece)) + 1
    assert tokenizer.encode(piece * repeats) == tokenizer.encode(piece) * repeats
    assert tokenizer.encode_array(piece).tolist() == tokenizer.encode(piece)


@given(TEXTS, st.lists(st.integers(0, 255)))
def test_a_byte_stream_never_shows_half_a_character(text: str, noise: list[int]) -> None:
    decoder = ByteTokenizer().stream_decoder()
    pieces = [decoder.push(token) for token in ByteTokenizer().encode(text)]
    assert "".join(pieces) == text
    assert decoder.flush() == ""
    other = ByteTokenizer().stream_decoder()
    assert "".join(map(other.push, noise)) + other.flush() == ByteTokenizer().decode(noise)


def test_a_copied_decoder_finishes_the_same_half_character() -> None:
    tokenizer = ByteTokenizer()
    first, second, third = tokenizer.encode("漢")
    decoder = tokenizer.stream_decoder()
    assert decoder.push(first) + decoder.push(second) == ""
    copy = decoder.copy()
    assert copy.push(third) == "漢"
    assert decoder.push(third) == "漢"
    assert copy.push(first) == ""
    assert copy.flush() == UNKNOWN


@given(TEXTS)
def test_the_whole_vocabulary_lives_in_the_json(text: str) -> None:
    tokenizer = CharTokenizer(text)
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.encode(text) == tokenizer.encode(text)
    assert again.vocabulary_size == tokenizer.vocabulary_size == len(set(text)) + 1


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": "char"},
        {"kind": "char", "characters": ""},
        {"kind": "char", "characters": "ba"},
        {"kind": "char", "characters": "aa"},
        {"kind": "char", "characters": ["a"]},
        {"kind": "char", "characters": "a", "more": 1},
        {"kind": "byte", "more": 1},
        {"kind": ["byte"]},
        {"kind": "morse"},
    ],
)
def test_a_damaged_vocabulary_is_refused(data: object) -> None:
    with pytest.raises(CelloquyError):
        tokenizer_from_json(data)


@pytest.mark.parametrize("tokenizer", [CharTokenizer("ab"), ByteTokenizer()])
@pytest.mark.parametrize("token", [-1, 256, 10**9])
def test_an_id_outside_the_vocabulary_is_an_error_not_another_character(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(CelloquyError, match="outside"):
        tokenizer.stream_decoder().push(token)
    with pytest.raises(CelloquyError, match="outside"):
        tokenizer.decode([token])


def test_encoding_is_far_faster_than_looking_up_each_character() -> None:
    text = "The quality of mercy is not strained.\n漢" * 130_000
    tokenizer = make_tokenizer("char", text)
    table = {character: index for index, character in enumerate(sorted(set(text)), 1)}

    def seconds(encode: Callable[[str], Sized]) -> float:
        began = time.process_time()
        assert len(encode(text)) == len(text)
        return time.process_time() - began

    def looked_up(text: str) -> list[int]:
        tokens = []
        for character in text:
            tokens.append(table[character])
        return tokens

    ours, theirs = (min(seconds(encode) for _ in range(3)) for encode in (tokenizer.encode_array, looked_up))
    assert ours < theirs
