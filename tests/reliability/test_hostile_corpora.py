"""Corpora that nobody would hand over on purpose: trained on as they are, or refused with one line."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from reliability_kit import tiny
from reliability_kit.bounds import bounded
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

from cells.errors import CelloquyError
from checkpoints.corpus import read_corpus
from checkpoints.header import read_header
from repl.visible import is_hostile

PROMISE = "hostile corpora: trained on, or refused with one line"
PLAIN = tiny.text(1500)
WORDS = "the king is gone\n" * 60


def train(nursery: Nursery, folder: Path, *arguments: str | bytes | Path, corpus: str | bytes | Path = "corpus") -> str:
    """``celloquy train`` on a corpus; what it said. It ended with 0, or with 1 or 2 and a last line of complaint."""
    small = ("--hidden", "8", "--batch", "2", "--bptt", "8", "--steps", "3", "--threads", "1", "--precision", "fp32")
    status, out, said = nursery.celloquy(folder, "train", corpus, "--name", "tiny", *small, *arguments)
    assert out.decode() == ("checkpoints/tiny.lstm.safetensors\n" if status == 0 else "")
    assert "Traceback" not in said
    assert "fault in the program" not in said
    complaints = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(complaints) == (status != 0), said
    assert (folder / "checkpoints" / "tiny.lstm.safetensors").exists() == (status == 0)
    return said


REFUSED = {
    "empty": (b"", "the file is empty"),
    "only a byte-order mark": (b"\xef\xbb\xbf", "the file is empty"),
    "one character": (b"a", "too small"),
    "three characters": (b"abc", "too small"),
    "invalid UTF-8": (b"The king \xff\xfe is gone" * 9, "byte 9 (0xff) does not belong there; name its --encoding"),
    "cut UTF-8": (PLAIN.encode() + b"\xe2\x82", f"byte {len(PLAIN.encode())}"),
    "a lone surrogate": (b"abc" * 9 + b"\xed\xa0\x80" + b"abc" * 9, "byte 27 (0xed)"),
    "an overlong slash": (b"abc" * 9 + b"\xc0\xaf" + b"abc" * 9, "byte 27 (0xc0)"),
    "UTF-16": (PLAIN.encode("utf-16"), "byte 0 (0xff)"),
    "Latin-1": ("café au lait " * 50).encode("latin-1"),
}
TRAINED = {
    "all one character": b"a" * 2000,
    "two characters": b"ab" * 1000,
    "NUL bytes": b"\0" * 500 + PLAIN.encode() + b"\0" * 500,
    "every control character": bytes(range(0x20)) * 100 + b"\x7f" * 9,
    "CR LF": WORDS.replace("\n", "\r\n").encode(),
    "CR only": WORDS.replace("\n", "\r").encode(),
    "a byte-order mark": b"\xef\xbb\xbf" + WORDS.encode(),
    "marks within": ("\ufeff" + WORDS).encode() * 3,
    "combining marks only": ("\u0301" * 900).encode(),
    "right to left": ("\u202e\u05d0\u05d1" * 300).encode(),
    "outside the plane": ("\U0001f600\U00010ffff" * 300).encode(),
    "as many characters as there are": "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x10000)])).encode(),
    "noncharacters": "\ufffe\uffff\U0010ffff".encode() * 300,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_corpus_that_cannot_be_used_is_refused_with_one_line(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, name: str
) -> None:
    raw, told = REFUSED[name] if isinstance(REFUSED[name], tuple) else (REFUSED[name], "byte 3 (0xe9)")
    with ledger.attempt(PROMISE):
        (tmp_path / "corpus").write_bytes(raw)
        assert told in train(nursery, tmp_path)


@pytest.mark.parametrize("name", TRAINED)
def test_a_strange_corpus_is_trained_on(nursery: Nursery, ledger: Ledger, tmp_path: Path, name: str) -> None:
    with ledger.attempt(PROMISE):
        (tmp_path / "corpus").write_bytes(TRAINED[name])
        said = train(nursery, tmp_path, "--sample-every", "2", "--prompt", "th")
        assert "error" not in said
        assert not any(map(is_hostile, said)), "a terminal might obey it"
        status, out, said = nursery.celloquy(tmp_path, "info", "tiny")
        assert status == 0, said
        assert not any(map(is_hostile, out.decode()))


def test_line_ends_and_marks_make_no_difference(tmp_path: Path) -> None:
    for name, raw in (("a", WORDS.encode()), ("b", TRAINED["CR LF"]), ("c", TRAINED["a byte-order mark"])):
        (tmp_path / name).write_bytes(raw)
    assert len({read_corpus([tmp_path / name]).fingerprint for name in "abc"}) == 1


def test_another_encoding_can_be_named_and_bad_bytes_replaced(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE, 5):
        corpus = tmp_path / "corpus"
        for encoding in ("latin-1", "utf-16", "utf-16-be", "cp1252"):
            corpus.write_bytes(("café au lait " * 50).encode(encoding))
            assert read_corpus([corpus], encoding).text == "café au lait " * 50
        corpus.write_bytes(b"abc\xff" * 200)
        assert "error" not in train(nursery, tmp_path, "--errors", "replace")
        assert "\ufffd" in str(read_header(tmp_path / "checkpoints" / "tiny.lstm.safetensors").tokenizer)


@pytest.mark.parametrize(
    "encoding", ["utf-9", "rot13", "zlib", "base64", "\0", "../utf-8", "undefined", "utf-7", "a" * 999]
)
def test_an_encoding_that_is_none_is_a_line_of_complaint(ledger: Ledger, tmp_path: Path, encoding: str) -> None:
    with ledger.attempt(PROMISE):
        (tmp_path / "corpus").write_bytes(b"abc+2AE-" * 200)  # in UTF-7, half a character
        with pytest.raises(CelloquyError) as caught:
            read_corpus([tmp_path / "corpus"], encoding)
        assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_with_one_line(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    cases = {
        "folder": "is a folder",
        "nothing": "no such file",
        "/dev/zero": "is a device",
        "loop": "",
        "": "",
        "a/b": "",
    }
    for corpus, told in cases.items():
        with ledger.attempt(PROMISE):
            assert told in train(nursery, tmp_path, corpus=corpus)


def test_a_pipe_is_read_to_its_end(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE):
        fifo = tmp_path / "corpus"
        os.mkfifo(fifo)
        writer = threading.Thread(target=lambda: fifo.write_text(WORDS, encoding="utf-8"), daemon=True)
        writer.start()
        assert "error" not in train(nursery, tmp_path)
        writer.join()
        assert read_header(tmp_path / "checkpoints" / "tiny.lstm.safetensors").corpus["characters"] == len(WORDS)


def test_waiting_for_a_pipe_that_nobody_writes_can_be_interrupted(
    nursery: Nursery, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.attempt(PROMISE):
        os.mkfifo(tmp_path / "corpus.txt")
        child = nursery.start(tiny.job(tmp_path))
        tiny.wait_for(tmp_path / "begun", child)
        time.sleep(0.2)  # so that it is in the pipe as a rule; before that it ends in the same way
        child.kill(signal.SIGINT)
        assert child.wait() == 130


def test_a_file_that_grows_while_it_is_read_is_read_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE):
        corpus, stop = tmp_path / "corpus", threading.Event()
        corpus.write_bytes(b"abc\n" * 1000)

        def grow() -> None:
            with open(corpus, "ab", buffering=0) as file:
                while not stop.wait(0.0005):
                    file.write(b"abc\n" * 500)

        thread = threading.Thread(target=grow, daemon=True)
        thread.start()
        try:
            for _ in range(20):
                before = corpus.stat().st_size
                text = read_corpus([corpus]).text
                assert before <= len(text) <= corpus.stat().st_size
        finally:
            stop.set()
            thread.join()


def one_long_line(folder: Path, megabytes: int) -> Callable[[], object]:
    corpus = folder / "corpus"
    corpus.write_bytes(b"to be or not to be " * (megabytes * 1_000_000 // 19))
    return lambda: read_corpus([corpus])


def test_one_line_of_megabytes_takes_no_more_memory_than_many_lines(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt("one endless line: read within six times its size"), bounded(5.0, 6 * 10):
        one_long_line(tmp_path, 10)()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_line_of_a_hundred_megabytes_can_be_trained_on(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt("one endless line: read within six times its size"):
        with bounded(30.0, 6 * 100):
            one_long_line(tmp_path, 100)()
        assert "error" not in train(nursery, tmp_path)


def test_a_file_name_that_is_no_text_does_no_harm(nursery: Nursery, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.attempt(PROMISE):
        name = b"caf\xe9\x1b[31m.txt"
        (tmp_path / os.fsdecode(name)).write_text(WORDS, encoding="utf-8")
        assert "error" not in train(nursery, tmp_path, corpus=name)
        status, out, _ = nursery.celloquy(tmp_path, "info", "tiny")
        assert status == 0
        assert b"\x1b" not in out
        status, out, _ = nursery.celloquy(tmp_path, "info", "tiny", "--json")
        assert status == 0
        assert b"\x1b" not in out


@pytest.mark.parametrize("option", ["--prompt", "--name", "--init", "--recipe", "--from", "--cell"])
@pytest.mark.parametrize("value", [b"\xff\xfe", b"", b"\x1b[2J", "\u202e".encode(), b"a" * 5000, b"../x", b"-"])
def test_option_values_that_are_no_text_are_used_or_refused(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, option: str, value: bytes
) -> None:
    with ledger.attempt("option values of any bytes: used, or refused with one line"):
        (tmp_path / "corpus").write_text(WORDS, encoding="utf-8")
        small = ("--hidden", "8", "--batch", "2", "--bptt", "8", "--steps", "2", "--threads", "1", "--name", "tiny")
        status, _, said = nursery.celloquy(tmp_path, "train", "corpus", *small, "--sample-every", "1", option, value)
        assert status in (0, 1, 2), said
        assert "Traceback" not in said
        assert "fault in the program" not in said
        assert "\x1b" not in said
