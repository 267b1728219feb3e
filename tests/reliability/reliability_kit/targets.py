"""What is fuzzed: each target takes bytes, and may raise nothing but the CelloquyError that a person would be told."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.finding import list_checkpoints
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint
from checkpoints.tokenizers import ByteTokenizer, CharTokenizer, make_tokenizer, tokenizer_from_json
from checkpoints.train import plan
from repl.models import Models
from repl.session import Session

WRITING = ("/save", "/open")
"""Commands that touch files: fuzzed with names in the working folder only."""


@dataclass(frozen=True)
class Target:
    """``run`` is given bytes that begin as one of ``seeds``; ``words`` are what such inputs are made of."""

    run: Callable[[bytes], object]
    seeds: list[bytes]
    words: tuple[bytes, ...]


def tolerated(call: Callable[[], object]) -> object:
    """Call; a CelloquyError must be one line, anything else comes through."""
    try:
        return call()
    except CelloquyError as error:
        if "\n" in str(error) or not 5 < len(str(error)) < 3000:
            raise AssertionError(f"not one line: {str(error)[:300]!r}") from error
    return None


def new_session(checkpoint: Path) -> Session:
    """A session without a terminal, whose events go nowhere."""
    models = Models()
    writer = models.writer(models.load(str(checkpoint)), {"seed": 1})
    return Session(writer, lambda event: None, models, length=12)


def targets(folder: Path, checkpoint: Path) -> dict[str, Target]:
    """Every target; ``folder`` is the working folder, where they may write."""
    header = folder / "checkpoints" / "fuzzed.lstm.safetensors"
    transcript = folder / "session.json"
    recipe = folder / "recipe.toml"
    header.parent.mkdir(exist_ok=True)
    session = new_session(checkpoint)

    def load(data: bytes) -> None:
        header.write_bytes(data)
        tolerated(lambda: read_header(header))
        tolerated(lambda: load_checkpoint(header))
        list_checkpoints([])

    def open_transcript(data: bytes) -> None:
        transcript.write_bytes(data)
        if tolerated(lambda: session.submit(f"/open {transcript}")) is None:
            _write_on(session, 2)

    def read_recipe(data: bytes) -> None:
        recipe.write_bytes(data)
        tolerated(lambda: plan({"recipe": str(recipe), "name": "a"}))

    return {
        "header": Target(load, _headers(checkpoint), HEADER_WORDS),
        "transcript": Target(open_transcript, _transcripts(checkpoint, folder), TRANSCRIPT_WORDS),
        "recipe": Target(read_recipe, RECIPES, RECIPE_WORDS),
        "commands": Target(lambda data: type_lines(session, data), _lines(session), COMMAND_WORDS),
        "tokenizers": Target(tokenize, TOKENIZED, TOKENIZER_WORDS),
    }


def type_lines(session: Session, data: bytes) -> None:
    """Type every line of the data into a session, and let it write a little after each."""
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:12]:
        command, _, argument = line.partition(" ")
        if command in WRITING and (argument.strip().strip(".") == "" or set(argument) & set("/~\\")):
            continue
        tolerated(lambda line=line: session.submit(line))  # type: ignore[misc]
        _write_on(session, 3)
        session.leaving = False
    if session.size > 20_000:
        session.submit("/reset")


def _write_on(session: Session, tokens: int) -> None:
    for _ in range(tokens):
        if session.running:
            tolerated(session.step)
    session.stop()


SUBWORDS = (
    make_tokenizer("bpe:270", "the king is gone, 王 " * 9),
    make_tokenizer("word", "The king is gone, 王 " * 9, "nfkc", lowercase=True),
)


def tokenize(data: bytes) -> None:
    """Every promise of a tokenizer, on any text, and on any JSON in the place of a tokenizer."""
    text = data.decode("utf-8", "surrogateescape")
    known = CharTokenizer(text[: len(text) // 2] or "a")
    for tokenizer in (known, ByteTokenizer(), *SUBWORDS):
        tokens = tokenizer.encode(text)
        assert tokens == tokenizer.encode_array(text).tolist()
        assert all(0 <= token < tokenizer.vocabulary_size for token in tokens)
        decoder = tokenizer.stream_decoder()
        streamed = ""
        for token in tokens:
            half = decoder.copy()
            piece = decoder.push(token)
            assert half.push(token) == piece
            streamed += piece
        assert streamed + decoder.flush() == tokenizer.decode(tokens)
        again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert again.to_json() == tokenizer.to_json()
    assert known.unknown_characters(text) == list(dict.fromkeys(c for c in text if c not in known.characters))
    try:
        described = json.loads(data)
    except (ValueError, RecursionError):
        return
    tolerated(lambda: tokenizer_from_json(described))


def _headers(checkpoint: Path) -> list[bytes]:
    return [checkpoint.read_bytes()]


def _transcripts(checkpoint: Path, folder: Path) -> list[bytes]:
    """Files that /save wrote, of sessions with all that can be in one."""
    saved = []
    session = new_session(checkpoint)
    for number, lines in enumerate(
        (["the king"], ["/mark a", "is gone", "/undo 3", "/mark b"], ["/top-k 3", "/heat surprise"])
    ):
        for line in lines:
            session.submit(line)
            _write_on(session, 5)
        session.submit(f"/save saved{number}.json")
        saved.append((folder / f"saved{number}.json").read_bytes())
    return saved


def _lines(session: Session) -> list[bytes]:
    commands = [f"/{command.name}".encode() for command in session.commands]
    plain = [b"the king", b"", b"//", b"/", b" ", b"\t", "Ж\x1b[2J".encode(), b"a" * 300]
    return [b"\n".join((command, command + b" 3", command + b" gru", b"x")) for command in commands] + plain


HEADER_WORDS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"1e999",
    b"-1",
    b"F32",
    b"dtype",
    b"shape",
    b"\\u0000",
)
TRANSCRIPT_WORDS = (
    *HEADER_WORDS,
    b"true",
    b"0",
    b"1",
    b"999999999999",
    b'"text"',
    b'"tokens"',
    b'"before"',
    b'"random"',
)
RECIPES = [
    b'name = "a"\nepochs = 2\nhidden = 8\n[cell.lstm]\nlr = 1e-3\n',
    b'cell = "lstm,gru"\nsteps = 3\nprompt = ["a", "b"]\ntie = true\nthreads = 1\n',
    b"[cell]\n[cell.gru]\nminutes = 0.5\n'quoted key' = 1\n",
]
RECIPE_WORDS = (
    b"=",
    b"[",
    b"]",
    b"[[",
    b'"""',
    b"'",
    b"nan",
    b"inf",
    b"true",
    b"1979-05-27",
    b"0x1f",
    b"cell.",
    b"hidden",
    b"\n",
)
COMMAND_WORDS = (
    b"/",
    b" ",
    b"\n",
    b"-1",
    b"0",
    b"1e400",
    b"nan",
    b"lstm",
    b"gru",
    b"lstm+gru",
    b"off",
    b"on",
    b"a=b",
    b"\x1b",
    b"%s",
)
TOKENIZED = [
    "aé没\U0001f600\u0301b\n".encode(),
    b'{"kind": "char", "characters": "abc"}',
    b'{"kind": "byte"}',
    b"\xed\xa0\x80x",
]
TOKENIZER_WORDS = (b'"', b"{", b"}", b"char", b"byte", b"\xf0\x9f", b"\xc3", b"\x00", b"\\ud800")


def mutate(data: bytes, chance: random.Random, words: tuple[bytes, ...], others: list[bytes]) -> bytes:
    """The data with a few random changes."""
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at, kind = chance.randrange(len(raw) + 1), chance.randrange(8)
        size = chance.choice((1, 1, 2, 8, 64))
        if kind == 0 and raw:
            raw[at % len(raw)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            raw[at:at] = chance.randbytes(size)
        elif kind == 2:
            del raw[at : at + size]
        elif kind in (3, 4):
            raw[at : at + chance.choice((0, 1, 4))] = chance.choice(words)
        elif kind == 5:
            raw[at:at] = raw[at : at + size] * chance.choice((1, 2, 30))
        elif kind == 6 and others:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            raw[at : at + size] = other[begin : begin + size]
        else:
            changed = mutate_json(bytes(raw), chance)
            raw = bytearray(changed if changed is not None else raw)
    return bytes(raw)


NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    1.5,
    1 << 40,
    1e300,
    "",
    "a",
    "\ud800",
    [],
    {},
    [[]],
    [1],
    {"a": 1},
)


def mutate_json(data: bytes, chance: random.Random) -> bytes | None:
    """The data, if it is JSON, with one value at any depth replaced, lost or doubled."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict | list) or not whole:
        return json.dumps(chance.choice(NASTY)).encode()
    places = list(_places(whole))
    place, key = chance.choice(places)
    kind = chance.randrange(4)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, list):
        place.insert(key, place[key])
    elif kind == 2:
        other, at = chance.choice(places)
        place[key] = json.loads(json.dumps(other[at]))
    else:
        place[key] = chance.choice(NASTY)
    return json.dumps(whole).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
