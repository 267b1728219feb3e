from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints.batches import split_text
from checkpoints.corpus import Corpus, read_corpus


def test_files_are_joined_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes("Ä\n".encode())
    (tmp_path / "two.txt").write_bytes(b"b")
    corpus = read_corpus([tmp_path / "two.txt", tmp_path / "one.txt"])
    assert corpus.text == "bÄ\n"
    assert [(file.name, file.bytes) for file in corpus.files] == [("two.txt", 1), ("one.txt", 3)]
    assert corpus.fingerprint == hashlib.sha256("bÄ\n".encode()).hexdigest()


def test_a_byte_order_mark_is_dropped_and_crlf_reads_as_lf(tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\r\n")
    assert read_corpus([path]).text == "one\ntwo\rthree\n"


@pytest.mark.parametrize(("raw", "byte"), [(b"abc\xff", 3), (b"\xef\xbb\xbfab\xc3(", 5), (b"ok \xe6\xbc", 3)])
def test_invalid_utf_8_is_told_with_its_byte_and_file(tmp_path: Path, raw: bytes, byte: int) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(raw)
    with pytest.raises(CelloquyError, match=rf"latin\.txt is not UTF-8: byte {byte} ") as caught:
        read_corpus([path])
    assert "\n" not in str(caught.value)


def test_a_missing_file_an_empty_file_and_a_folder_are_each_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    for path, reason in (("none.txt", "no such file"), ("empty.txt", "empty"), (".", "folder")):
        with pytest.raises(CelloquyError, match=reason):
            read_corpus([tmp_path / path])
    with pytest.raises(CelloquyError, match="no corpus"):
        read_corpus([])


@given(st.text(min_size=2), st.floats(0, 0.99))
def test_the_validation_part_is_the_unbroken_end(text: str, fraction: float) -> None:
    with contextlib.suppress(CelloquyError):  # too small: the next test
        train, validation = split_text(text, fraction)
        check_split(text, fraction, train, validation)


def check_split(text: str, fraction: float, train: str, validation: str) -> None:
    assert train + validation == text
    assert abs(len(validation) - fraction * len(text)) <= 1


def test_the_published_split_of_tinyshakespeare_is_kept() -> None:
    train, validation = split_text("x" * 1_115_394, 0.1)
    assert (len(train), len(validation)) == (1_003_854, 111_540)


@pytest.mark.parametrize("text", ["", "a", "abc", "a" * 9])
def test_a_text_too_small_to_split_is_refused(text: str) -> None:
    with pytest.raises(CelloquyError, match="too small"):
        split_text(text, 0.1)


def test_the_fingerprint_is_that_of_the_text() -> None:
    assert Corpus.from_text("a").fingerprint == hashlib.sha256(b"a").hexdigest()
