"""Word vectors from a file of GloVe's form."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from cells.errors import CelloquyError
from checkpoints.labels.vectors import read_vectors


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    """5000 words with three numbers: means 1, -2 and 0, spreads 0.5, 2 and 0.1."""
    draw = numpy.random.default_rng(3)
    values = draw.normal((1, -2, 0), (0.5, 2, 0.1), (5000, 3))
    path = tmp_path / "glove.txt"
    lines = [f"w{number} " + " ".join(f"{value:.6f}" for value in row) for number, row in enumerate(values)]
    path.write_text("\n".join(["the 1.5 2.5 -3.5", ". . . 7 8 9", *lines]) + "\n", "utf-8")
    return path


def test_known_words_have_their_own_rows_whatever_their_case(glove: Path) -> None:
    found = read_vectors(glove, ["?", "the", "The", "missing", ". . ."], seed=1)
    assert found.table[[1, 2, 4]].tolist() == [[1.5, 2.5, -3.5], [1.5, 2.5, -3.5], [7, 8, 9]]
    assert (found.known, found.words) == (3, 5002)


def test_unknown_words_are_drawn_with_the_mean_and_spread_of_the_table(glove: Path) -> None:
    vocabulary = ["?", *(f"strange {number}" for number in range(4000))]
    found = read_vectors(glove, vocabulary, seed=1, unknown_id=0)
    assert found.known == 0
    drawn = found.table[1:]
    assert numpy.allclose(drawn.mean(0), (1, -2, 0), atol=0.12)
    assert numpy.allclose(drawn.std(0), (0.5, 2, 0.16), atol=0.1)
    assert numpy.allclose(found.table[0], (1, -2, 0), atol=0.12)
    assert (read_vectors(glove, vocabulary, seed=1, unknown_id=0).table == found.table).all()
    assert (read_vectors(glove, vocabulary, seed=2, unknown_id=0).table != found.table).any()


def test_the_first_line_of_word2vec_is_no_word(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("2 3\none 1 2 3\ntwo 4 5 6\n", "utf-8")
    found = read_vectors(path, ["two", "one"], seed=1)
    assert found.table.tolist() == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize("end", [" \n", "\r\n"])
def test_lines_may_end_as_word2vec_and_windows_end_them(tmp_path: Path, end: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(end.join(["2 3", "one 1 2 3", "two 4 5 6", ""]).encode())
    assert read_vectors(path, ["two", "one"], seed=1).table.tolist() == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no word vectors"),
        ("alone\n", "line 1"),
        ("one 1 2\ntwo 3 x\n", "line 2: not a word and 2 numbers"),
        ("one 1 2\ntwo 3\n", "line 2: not a word and 2 numbers"),
        ("one 1 2\ntwo 3 nan\n", "line 2: a number in it is not finite"),
    ],
)
def test_a_file_that_is_no_table_of_vectors_is_refused_with_the_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(CelloquyError, match=said):
        read_vectors(path, ["one"], seed=1)
