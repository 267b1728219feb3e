"""``--regex``: every text matches the whole pattern, whatever its tokens are, within the length."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from checkpoints.tokenizers import make_tokenizer, token_bytes
from plugins.vocabulary import Vocabulary
from repl.batch import Job
from repl.generator import Writer
from repl.guide import START, Guide
from repl.pattern import byte_automaton

Run = Callable[..., Any]
CORPUS = (
    "The king, the Queen and 42 fools: 春眠不覺曉，處處聞啼鳥。 é ü 😀 abcdefghijklmnopqrstuvwxyz 0123456789-.\n" * 9
)
TOKENIZERS = {name: make_tokenizer(name, CORPUS) for name in ("char", "byte", "bpe:320", "word")}
VOCABULARIES = {name: Vocabulary(lambda made=made: token_bytes(made)) for name, made in TOKENIZERS.items()}  # type: ignore[misc]
PATTERNS = (
    r"\d{3}-\d{4}",
    r"[^，。]{5}，[^，。]{5}。\n",
    r"(?:the |king |春)+",
    r"^[a-z]+(?:, [a-z]+){0,3}\.$",
    r".{0,30}。",
    r"[^\x00-\x7f]{2,9}",
    r"\W\w\s\S\D",
    r"(?i)the king",
    r"é?x|😀+",
    r"a*",
    r"q\d|b",
)


def walk(guide: Guide, length: int, draw: random.Random) -> list[int]:
    """Tokens drawn evenly from those that are allowed."""
    place, tokens = START, []
    while not guide.over(place, length - len(tokens)):
        (allowed,) = guide.allowed(place, length - len(tokens)).nonzero()
        tokens.append(int(draw.choice(allowed)))
        place = guide.advance(place, tokens[-1])
    return tokens


@pytest.mark.parametrize("kind", list(TOKENIZERS))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_whatever_is_allowed_matches_the_whole_pattern_at_every_length(kind: str, pattern: str) -> None:
    tokenizer, draw = TOKENIZERS[kind], random.Random(1)
    banned = () if tokenizer.unknown_id is None else (tokenizer.unknown_id,)
    guide = Guide(pattern, VOCABULARIES[kind], banned)
    enough = 0
    for length in range(60):
        try:
            guide.check(length)
        except CelloquyError:
            continue
        enough += 1
        tokens = walk(guide, length, draw)
        assert len(tokens) <= length
        text = tokenizer.decode(tokens)
        assert re.fullmatch(pattern, text, re.ASCII), repr(text)
    assert enough > 20


automaton_of = functools.lru_cache(byte_automaton)


@settings(max_examples=80)
@given(st.sampled_from(PATTERNS), st.text("0123abcdthekingKING ，。春é😀x-.\n", max_size=14))
def test_the_automaton_accepts_what_the_expression_matches_and_nothing_else(pattern: str, text: str) -> None:
    automaton, state = automaton_of(pattern), START
    for byte in text.encode():
        state = int(automaton.table[state, byte])
    assert bool(automaton.accepts[state]) == bool(re.fullmatch(pattern, text, re.ASCII))


def test_only_bytes_of_utf_8_are_allowed() -> None:
    automaton = byte_automaton(".")
    for first, second in ((0xC0, 0x80), (0xE0, 0x80), (0xED, 0xA0), (0xF0, 0x80), (0xF4, 0x90), (0xF5, 0x80)):
        assert automaton.table[automaton.table[START, first], second] == 0


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "not a regular expression"),
        (r"(a)\1", "no automaton can"),
        ("a(?=b)", "looks ahead"),
        ("(?<!a)b", "looks ahead"),
        ("a{20000}", "too large"),
        ("a" * 3000, "too large"),
        ("(?i)é", "ignores case"),
        (r"a\bb", "no automaton can|no text at all|not understood"),
    ],
)
def test_a_pattern_that_cannot_be_held_to_is_a_usage_error(celloquy: Run, pattern: str, told: str) -> None:
    done = celloquy("generate", "tiny", "--regex", pattern, "--seed", "1")
    assert done.status == 2
    assert done.out == ""
    assert re.search(told, done.error_line)


def test_what_cannot_be_written_here_or_within_the_length_is_one_line(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "a", "--regex", "[α-ω]+", "--seed", "1")
    assert (done.status, done.out) == (1, "")
    assert "no text that this checkpoint can write matches" in done.error_line
    done = celloquy("generate", "tiny", "-p", "a", "--regex", "[a-z]{8,}", "-n", "5", "--seed", "1")
    assert (done.status, done.out) == (1, "")
    assert "at least 8 tokens" in done.error_line


def test_a_stop_text_and_a_pattern_contradict_each_other(celloquy: Run) -> None:
    assert celloquy("generate", "tiny", "--regex", "a+", "--stop", "b").status == 2


@pytest.mark.parametrize("family", ["tiny", "bytes"])
def test_every_sample_matches_streamed_or_batched_alike(celloquy: Run, family: str) -> None:
    pattern = r"[A-Z][a-z]+(?: 你好)?, [^\n]{3,}[.!]"
    arguments = ("-p", "To", "--regex", pattern, "--seed", "5", "-n", "40", "-t", "1.5")
    done = celloquy("generate", family, *arguments, "--samples", "20", "--json")
    texts = [json.loads(line)["text"] for line in done.out.splitlines()]
    assert len(set(texts)) == 20
    assert all(re.fullmatch(pattern, text, re.ASCII) for text in texts)
    assert celloquy("generate", family, *arguments).out == "To" + texts[0]


def test_a_text_ends_where_its_pattern_does(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "", "--regex", "[a-z]{4}[.?]", "--seed", "2", "--json")
    (found,) = (json.loads(line) for line in done.out.splitlines())
    assert (len(found["text"]), found["tokens"], found["finish"]) == (5, 5, "stop")


def test_python_takes_patterns_too(write: Callable[..., Writer]) -> None:
    writer = write(temperature=1.0)
    text = writer.generate("A", 30, regex="(?:[a-c]{2} )+", seed=4)
    assert re.fullmatch("(?:[a-c]{2} )+", text)
    streamed = list(writer.stream("A", 30, regex="(?:[a-c]{2} )+", seed=4))
    assert "".join(streamed) == text
    assert streamed[-1].finish == "length"
    assert "".join(writer.stream("", None, regex="[a-z]{3}!", seed=1))[3:] == "!"
    with pytest.raises(UsageError, match="stop"):
        writer.generate("a", regex="b", stop=["c"])


def test_inside_a_pattern_the_model_chooses_as_it_would(write: Callable[..., Writer]) -> None:
    writer = write(temperature=1.0)
    counts = {"a": 0, "b": 0}
    texts = writer.continuations([Job("The ", n) for n in range(600)], 1, regex="a|b", seed=1)
    for done in texts:
        counts[done.text] += 1
    writer.feed("The ")
    piece = writer.step()
    logits = piece._logits
    assert logits is not None
    a, b = (float(logits[writer.loaded.tokenizer.encode(c)[0]]) for c in "ab")
    share = 1 / (1 + 2.718281828459045 ** (b - a))
    assert counts["a"] / 600 == pytest.approx(share, abs=4 * (share * (1 - share) / 600) ** 0.5 + 1e-3)
