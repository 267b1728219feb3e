"""Promises of the tokenizers whose tokens are longer than a character: byte pairs and words; and of normalisation."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from checkpoints import tokenizers
from checkpoints.normalization import NormalizingTokenizer
from checkpoints.tokenizers import (
    UNKNOWN,
    CharTokenizer,
    Tokenizer,
    cut,
    make_tokenizer,
    pieces,
    tokenizer_from_json,
    tokens_option,
)
from checkpoints.words import WordTokenizer

CORPUS = (
    "The quality of mercy isn't strained.\n\n    It droppeth  as the gentle rain\tfrom heaven:"
    " 春眠不覺曉，處處聞啼鳥。\n"
) * 20
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("the ,.\n'春\té😀\u0301\xa0\u2028")

BPE = make_tokenizer("bpe:400", CORPUS)
WORD = make_tokenizer("word", CORPUS)


@given(TEXTS)
def test_byte_pairs_hold_any_text_to_the_byte(text: str) -> None:
    tokens = BPE.encode(text)
    assert BPE.decode(tokens) == text
    assert BPE.unknown_characters(text) == []
    assert tokens == BPE.encode_array(text).tolist()


@given(
    st.lists(st.sampled_from(["the", " quality", "  ", "\n", "Strained", " mercyless", "春", "'", "isn't", "\t", "，"]))
)
def test_words_known_or_spelled_come_back_to_the_byte(parts: list[str]) -> None:
    text = "".join(parts)
    if set(text) <= set(CORPUS):
        assert WORD.decode(WORD.encode(text)) == text
        assert 0 not in WORD.encode(text)


@given(TEXTS)
def test_characters_that_no_word_has_are_unknown_and_named(text: str) -> None:
    strange = list(dict.fromkeys(c for c in text if c not in CORPUS))
    assert WORD.unknown_characters(text) == strange
    assert WORD.decode(WORD.encode(text)) == "".join(c if c in CORPUS else UNKNOWN for c in text)


def test_frequent_words_are_one_token_each_with_the_space_before_them() -> None:
    assert [WORD.decode([token]) for token in WORD.encode("The quality isn't strained.\n")] == [
        *("The", " quality", " isn't", " strained", ".", "\n")
    ]
    assert [WORD.decode([token]) for token in WORD.encode("春眠，")] == ["春", "眠", "，"]
    assert WORD.encode(" unquality") == [WORD.encode(c)[0] for c in " unquality"]


def test_a_word_vocabulary_takes_the_most_frequent_words() -> None:
    text = "aa " * 9 + "bb " * 5 + "cc " * 7 + "dd"
    small = WordTokenizer.train(text, size=1 + len(set(text)) + 2)
    assert set(small.words) == {*text, " aa", " cc"}


@pytest.mark.parametrize("tokenizer", [BPE, WORD], ids=["bpe", "word"])
@given(text=TEXTS)
def test_a_stream_never_shows_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    decoder, streamed = tokenizer.stream_decoder(), ""
    for token in tokenizer.encode(text):
        copy = decoder.copy()
        piece = decoder.push(token)
        assert copy.push(token) == piece
        assert UNKNOWN not in piece or UNKNOWN in text or tokenizer is WORD
        streamed += piece
    assert streamed + decoder.flush() == tokenizer.decode(tokenizer.encode(text))


def test_any_byte_pair_tokens_stream_as_whole_characters() -> None:
    draw = random.Random(1)
    tokens = [draw.randrange(BPE.vocabulary_size) for _ in range(3000)]
    decoder = BPE.stream_decoder()
    streamed = "".join(map(decoder.push, tokens)) + decoder.flush()
    streamed.encode("utf-8")
    raw = b"".join(BPE.tokens[token] for token in tokens)  # type: ignore[attr-defined]
    assert streamed == raw.decode("utf-8", "replace")


@pytest.mark.parametrize("tokenizer", [BPE, WORD], ids=["bpe", "word"])
@settings(max_examples=60)
@given(text=TEXTS, size=st.integers(1, 30))
def test_a_text_in_pieces_has_the_tokens_of_the_whole(tokenizer: Tokenizer, text: str, size: int) -> None:
    text = text + " the rain\n from" * 3
    parts = list(pieces(text, size, tokenizer.cut))
    assert "".join(parts) == text
    assert all(0 < len(part) <= size for part in parts)
    safe = [part for part in parts[1:] if part[0] in " \n"]
    if len(safe) == len(parts) - 1 and not any(a[-1].isspace() for a in parts[:-1]):
        assert [t for part in parts for t in tokenizer.encode(part)] == tokenizer.encode(text)


def test_a_large_corpus_encodes_in_pieces_as_it_would_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {kind: kind.encode(CORPUS * 10) for kind in (BPE, WORD)}
    monkeypatch.setattr(tokenizers, "PIECE", 100)
    for kind, tokens in whole.items():
        assert kind.encode(CORPUS * 10) == tokens


@given(st.text(), st.integers(1, 50))
def test_a_cut_is_inside_the_text(text: str, at: int) -> None:
    assert cut(text, at) <= min(at, len(text))
    assert cut(text, at) > 0 or not text


@pytest.mark.parametrize("option", ["bpe:300", "word", "word:60", "char", "byte"])
@pytest.mark.parametrize("normalization", [("none", False), ("nfkc", True)])
def test_the_whole_tokenizer_lives_in_the_json(option: str, normalization: tuple[str, bool]) -> None:
    tokenizer = make_tokenizer(option, CORPUS, *normalization)
    described = tokenizer.to_json()
    again = tokenizer_from_json(json.loads(json.dumps(described)))
    assert again.to_json() == described
    assert again.vocabulary_size == tokenizer.vocabulary_size
    assert again.unknown_id == tokenizer.unknown_id
    assert again.encode(CORPUS) == tokenizer.encode(CORPUS)
    assert make_tokenizer(tokens_option(described), CORPUS, *normalization).to_json() == described


def test_byte_pairs_are_as_many_as_asked_and_shorten_the_text() -> None:
    assert make_tokenizer("bpe:300", CORPUS).vocabulary_size == 300
    assert len(BPE.encode(CORPUS)) < len(CORPUS) / 2
    repeated = make_tokenizer("bpe:5000", "aaaaaaaaaaaaaaaab" * 50)  # where merges run out, and some make one token
    assert 256 < repeated.vocabulary_size < 5000
    assert repeated.decode(repeated.encode("aaaaaaab")) == "aaaaaaab"


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "bpe"},
        {"kind": "bpe", "merges": [1]},
        {"kind": "bpe", "merges": [[1, 2]]},
        {"kind": "bpe", "merges": [1, 256]},
        {"kind": "bpe", "merges": [-1, 2]},
        {"kind": "bpe", "merges": [True, 2]},
        {"kind": "bpe", "merges": [1, 2, 1, 2]},
        {"kind": "bpe", "merges": [97, 97, *(id for n in range(256, 300) for id in (n, n))]},
        {"kind": "bpe", "merges": [], "more": 1},
        {"kind": "bpe", "merges": list(range(200_000))},
        {"kind": "word", "words": []},
        {"kind": "word", "words": [], "spelled": True},
        {"kind": "word", "words": ["a", "a"], "spelled": True},
        {"kind": "word", "words": ["a", ""], "spelled": True},
        {"kind": "word", "words": ["a" * 65], "spelled": True},
        {"kind": "word", "words": ["a", 1], "spelled": True},
        {"kind": "word", "words": "ab", "spelled": True},
        {"kind": "word", "words": ["a"], "spelled": 1},
        {"kind": "word", "words": [f"{n}" for n in range(100_001)], "spelled": True},
        {"kind": "byte", "normalize": "nfc"},
        {"kind": "byte", "normalize": "NFC", "lowercase": False},
        {"kind": "byte", "normalize": ["nfc"], "lowercase": False},
        {"kind": "byte", "normalize": "nfc", "lowercase": 1},
        {"kind": "byte", "normalize": "nfc", "lowercase": False, "more": 1},
    ],
)
def test_a_hostile_vocabulary_is_refused_in_one_line(data: object) -> None:
    with pytest.raises(CelloquyError) as caught:
        tokenizer_from_json(data)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokens", ["bpe", "bpe:", "bpe:256", "bpe:1e3", "bpe:-1", "bpe:9999999999", "word:1", "words"])
def test_tokens_that_there_are_not_are_a_usage_error(tokens: str) -> None:
    with pytest.raises(UsageError, match="tokens"):
        make_tokenizer(tokens, "text")


def test_too_few_words_for_the_characters_says_how_many_to_ask_for() -> None:
    with pytest.raises(CelloquyError, match="--tokens word:100"):
        make_tokenizer("word:5", CORPUS)


@pytest.mark.parametrize("tokenizer", [BPE, WORD], ids=["bpe", "word"])
def test_an_id_outside_the_vocabulary_is_an_error(tokenizer: Tokenizer) -> None:
    for token in (-1, tokenizer.vocabulary_size):
        with pytest.raises(CelloquyError, match="outside"):
            tokenizer.decode([token])


@given(TEXTS)
def test_normalised_forms_of_a_text_are_the_same_tokens(text: str) -> None:
    tokenizer = NormalizingTokenizer(BPE, "nfkc", lowercase=True)
    assert tokenizer.encode(unicodedata.normalize("NFD", text)) == tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFKC", text).lower()


def test_normalisation_comes_before_the_vocabulary() -> None:
    tokenizer = make_tokenizer("char", "E\u0301 Ａ", "nfkc", lowercase=True)
    assert isinstance(tokenizer, NormalizingTokenizer)
    assert isinstance(tokenizer.inner, CharTokenizer)
    assert tokenizer.inner.characters == " aé"
    assert tokenizer.unknown_characters("É e\u0301 a Z") == ["z"]


def test_normalised_text_is_never_cut_between_a_letter_and_its_accent() -> None:
    tokenizer = make_tokenizer("char", "é", "nfc")
    text = "e\u0301" * 50
    for size in (2, 3, 5):
        tokens = [token for part in pieces(text, size, tokenizer.cut) for token in tokenizer.encode(part)]
        assert tokens == tokenizer.encode(text) == [1] * 50


def test_a_header_is_checked_without_torch_and_without_the_library() -> None:
    code = (
        "import sys, json; from checkpoints.tokenizers import tokenizer_from_json\n"
        "for data in json.loads(sys.argv[1]):\n"
        "    made = tokenizer_from_json(data); made.decode(range(made.vocabulary_size))\n"
        "assert not {'torch', 'tokenizers', 'numpy'} & set(sys.modules), 'imported'"
    )
    described = json.dumps([BPE.to_json(), {**WORD.to_json(), "normalize": "nfc", "lowercase": True}])
    subprocess.run([sys.executable, "-c", code, described], check=True)
