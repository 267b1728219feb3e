"""A corpus that is read in pieces gives what one that is read whole gives, and its tokens are kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints import large_corpus, text_stream, token_cache
from checkpoints.corpus import read_corpus
from checkpoints.encoded import corpus_tokenizer, encoded
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.large_corpus import LargeCorpus, open_corpus
from checkpoints.tokenizers import make_tokenizer

Train = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
TEXT = "The quality of mercy is not strained,\r\nit droppeth — as the gentle rain. 没有 ça ne\u0301 fait 'rien'.\n" * 40


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_corpus, "LARGE", 0)
    monkeypatch.setattr(text_stream, "CHUNK", 61)
    monkeypatch.setattr(text_stream, "LOOKAHEAD", 20)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT.encode())
    return path


def large(*paths: Path, encoding: str = "utf-8", errors: str = "strict") -> LargeCorpus:
    corpus = open_corpus(paths, encoding, errors, lambda text: None)
    assert isinstance(corpus, LargeCorpus)
    return corpus


def caches(suffix: str = ".tokens") -> list[Path]:
    return sorted(path for path in token_cache.cache_folder().iterdir() if path.suffix == suffix)


@pytest.mark.parametrize("tokens", ["char", "byte", "bpe:300", "word:40"])
@pytest.mark.parametrize("normalize", ["none", "nfkc"])
def test_the_tokens_are_those_of_the_text_read_whole(book: Path, tokens: str, normalize: str) -> None:
    pieces, whole = large(book, book), read_corpus([book, book])
    assert (pieces.fingerprint, pieces.characters, pieces.files) == (whole.fingerprint, whole.characters, whole.files)
    one, other = (encoded(corpus, corpus_tokenizer(corpus, tokens, normalize, True), 0.1) for corpus in (pieces, whole))
    if tokens in ("char", "byte"):
        assert one.tokenizer.to_json() == other.tokenizer.to_json()
    one = encoded(pieces, other.tokenizer, 0.1)
    assert numpy.array_equal(one.train, other.train)
    assert numpy.array_equal(one.validation, other.validation)
    assert one.validation_characters == other.validation_characters


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("\r\n\ufeffaé没\U0001f600 "), max_size=200), min_size=1, max_size=3),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32"]),
)
def test_any_text_is_read_in_pieces_as_it_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], encoding: str
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    paths = [folder / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode(encoding))
    files = text_stream.streamed_files(paths, encoding)
    assert files is not None
    found = "".join(text_stream.pieces(files, encoding))
    try:
        expected = read_corpus(paths, encoding).text
    except CelloquyError:
        expected = ""
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 200))
def test_a_byte_that_does_not_belong_is_told_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, before: int
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "corpus"
    path.write_bytes(b"a" * before + raw)
    complaints = []
    for read in (large, lambda path: read_corpus([path])):
        try:
            read(path)
            complaints.append("")
        except CelloquyError as error:
            complaints.append(str(error))
    assert complaints[0] == complaints[1]


def test_training_on_it_gives_the_same_bits(small_train: Train, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"steps": 20, "dropout": 0.1}
    pieces = small_train(book, name="pieces", **options)
    monkeypatch.setattr(large_corpus, "LARGE", 1 << 30)
    whole = small_train(book, name="whole", **options)
    one, other = load_tensors(pieces), load_tensors(whole)
    assert all((one[name] == other[name]).all() for name in other)
    first, second = read_header(pieces), read_header(whole)
    assert (first.corpus, first.tokenizer, first.split) == (second.corpus, second.tokenizer, second.split)
    assert first.figures["val_loss"] == second.figures["val_loss"]
    assert small_train(book, name="pieces", resume=True, **{**options, "steps": 30}), "goes on with the text read whole"


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pieces that are read from now on."""
    seen: list[str] = []
    read = text_stream.pieces

    def noted(*arguments: Any) -> Iterator[str]:
        for text in read(*arguments):
            seen.append(text)
            yield text

    monkeypatch.setattr(large_corpus, "pieces", noted)
    return seen


def test_a_second_run_reads_nothing_of_the_text_again(small_train: Train, book: Path, read_again: list[str]) -> None:
    small_train(book, steps=2)
    assert "".join(read_again)
    read_again.clear()
    small_train(book, steps=2, name="again")
    small_train(book, steps=4, name="again", resume=True)
    assert read_again == []
    assert len(caches()) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "header", "empty"])
def test_a_damaged_cache_is_made_anew_without_a_word(
    small_train: Train, book: Path, messages: Any, damage: str
) -> None:
    whole = load_tensors(small_train(book, steps=5, name="whole"))
    for path in caches() + caches(".json"):
        raw = bytearray(path.read_bytes())
        if damage == "flip":
            raw[token_cache.HEADER if path.suffix == ".tokens" else -3] ^= 1  # the first token that is learned from
        elif damage == "header":
            raw[2] ^= 0x15
        path.write_bytes({"cut": raw[:-1], "empty": b""}.get(damage, raw))
    again = load_tensors(small_train(book, steps=5, name="again"))
    assert all((again[name] == whole[name]).all() for name in whole)
    assert "damaged:" not in messages.getvalue()


def test_a_text_that_was_changed_is_read_anew(small_train: Train, book: Path) -> None:
    small_train(book, steps=2)
    book.write_bytes(TEXT.replace("mercy", "money").encode())
    with pytest.raises(CelloquyError, match="the corpus is not the one"):
        small_train(book, steps=4, resume=True)
    assert large(book).fingerprint == read_corpus([book]).fingerprint
    book.write_bytes((TEXT + "ß").encode())
    with pytest.raises(CelloquyError, match="does not know 'ß'"):
        small_train(book, steps=4, resume=True, allow_changed_corpus=True)


def test_a_text_that_changes_while_it_is_read_is_refused(book: Path) -> None:
    corpus = large(book)
    book.write_bytes(TEXT.replace("mercy", "money").encode())
    with pytest.raises(CelloquyError, match="changed while it was being read"):
        encoded(corpus, make_tokenizer("byte", "a"), 0.1)
    assert caches() == []


def test_a_home_that_cannot_be_written_trains_all_the_same(
    small_train: Train, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_folder = tmp_path / "home"
    no_folder.write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setenv("CELLOQUY_HOME", str(no_folder))
    assert small_train(book, steps=2).exists()


def test_the_cache_is_bounded_and_the_oldest_go_first(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, tokenizer = large(book), make_tokenizer("byte", "a")
    made: list[Path] = []
    for number, fraction in enumerate((0.1, 0.2, 0.3)):
        encoded(corpus, tokenizer, fraction)
        made += [path for path in caches() if path not in made]
        os.utime(made[-1], (number, number))
    encoded(corpus, tokenizer, 0.1)  # the oldest, used just now
    monkeypatch.setattr(token_cache, "LARGEST_CACHE", 2 * caches()[0].stat().st_size)
    left = token_cache.cache_folder() / ".left.tmp"
    left.write_bytes(b"of a run that was killed long ago")
    os.utime(left, (1, 1))
    encoded(corpus, tokenizer, 0.4)
    assert len(caches()) == 3, "two, and the one that is needed now"
    assert not left.exists()
    assert made[0] in caches(), "the one that was used just now"
    assert made[1] not in caches()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_gigabyte_trains_in_less_than_one_and_starts_in_seconds_the_second_time(tmp_path: Path) -> None:
    line = "".join(chr(32 + (7 * number + number // 9) % 95) for number in range(999)) + "\n"
    with open(tmp_path / "corpus.txt", "w", encoding="utf-8") as file:
        for number in range(1000):
            file.write(f"{number:09}" * 111 + line * 999 + "é\n")
    assert (tmp_path / "corpus.txt").stat().st_size > 10**9 * 0.99
    program = (
        "import resource, sys, time; import checkpoints.trainer as t\n"
        "go = t.Trainer.run\n"
        "def run(self): print(time.process_time(), flush=True); go(self)\n"
        "t.Trainer.run = run\n"
        "from checkpoints.train import train\n"
        "train('corpus.txt', name=sys.argv[1], hidden=32, steps=300, val=float(sys.argv[2]), threads='1')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "CELLOQUY_HOME": str(tmp_path / "home")}
    figures = []
    for name in ("first", "second"):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program, name, "0.002"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        start, peak = map(float, done.stdout.split())
        figures.append((start, peak))
        print(
            f"{name}: starts after {start:.1f} s of work, peak {peak:.0f} MiB, whole {time.monotonic() - began:.1f} s"
        )
    assert max(peak for _, peak in figures) < 1000
    assert figures[1][0] < 8, "seconds of work, whatever else the machine does"


@pytest.mark.parametrize("dtype", ["|O", "<f8", "<i8", [["a", "|O"]], "i1,O"])
def test_a_cache_of_anything_but_tokens_counts_as_not_there(dtype: Any) -> None:
    folder = token_cache.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    size = numpy.dtype([tuple(pair) for pair in dtype] if isinstance(dtype, list) else dtype).itemsize
    body = bytes(2 * size)
    header = {"format": 1, "dtype": dtype, "lengths": [1, 1], "sha256": hashlib.sha256(body).hexdigest()}
    (folder / "forged.tokens").write_bytes(json.dumps(header).encode().ljust(token_cache.HEADER) + body)
    assert token_cache.kept_tokens("forged") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_file_in_the_place_of_a_cache_counts_as_not_there(make: Callable[[Path], None]) -> None:
    folder = token_cache.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("x.tokens", "x.json"):
        make(folder / name)
    assert (token_cache.kept_tokens("x"), token_cache.kept_note("x")) == (None, None)
    tokens = token_cache.written_tokens("x", numpy.dtype("<u1"), lambda: ([[1, 2]], [[3]]))
    assert (tokens.train.tolist(), tokens.validation.tolist()) == ([1, 2], [3])
    token_cache.keep_note("x", 1)
