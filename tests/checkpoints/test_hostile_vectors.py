"""Files of word vectors that nobody would make on purpose: used, or refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cells.errors import CelloquyError
from checkpoints.labels.vectors import read_vectors

REFUSED = {
    "a size without end": b"1 99999999999\na 1\n",
    "a billion numbers": b"1 1000000000\na 1\n",
    "a size of thousands of digits": b"1 " + b"9" * 5000 + b"\na 1\n",
    "too few numbers": b"a 1 2\nb 1\n",
    "too large for a float": b"a 1e300 2\n",
    "no number": b"a nan 1\n",
    "one endless line": b"a" + b" 1" * 600_000,
    "an empty line": b"a 1 2\n\nb 1 2\n",
    "only blanks": b"\n\n",
    "one word": b"a\n",
    "no lines": b"",
}
USED = {"control characters": b"\0\x1b[2J 1 2\na 1 2\n", "no UTF-8": b"\xff\xfe 1 2\n", "CR LF": b"a 1 2\r\nb 3 4\r\n"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_none_of_word_vectors_is_refused_with_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "v").write_bytes(REFUSED[name])
    with pytest.raises(CelloquyError) as caught:
        read_vectors(tmp_path / "v", ["a", "b"], 1)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", USED)
def test_a_strange_file_of_word_vectors_is_used(tmp_path: Path, name: str) -> None:
    (tmp_path / "v").write_bytes(USED[name])
    assert read_vectors(tmp_path / "v", ["a", "b"], 1).table.shape == (2, 2)
