"""Labelled text in its three kinds, and what is said of files that are not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints.labels.corpus import LabelledCorpus, read_labelled
from checkpoints.labels.split import balance, split_labelled

ROWS = [("a text, with a comma", "yes"), ('two\nlines and "quotes"', "no"), ("é 中", "yes")]


def test_csv_tsv_and_json_lines_read_alike(tmp_path: Path) -> None:
    comma, tab, lines = tmp_path / "a.csv", tmp_path / "a.tsv", tmp_path / "a.jsonl"
    comma.write_text('text,label\n"a text, with a comma",yes\n"two\nlines and ""quotes""",no\né 中,yes\n', "utf-8")
    tab.write_text('label\ttext\nyes\ta text, with a comma\nno\t"two\nlines and ""quotes"""\nyes\té 中\n', "utf-8")
    lines.write_text("".join(json.dumps({"text": t, "label": label}) + "\n\n" for t, label in ROWS), "utf-8")
    found = [read_labelled([path]) for path in (comma, tab, lines)]
    assert [(corpus.texts, corpus.labels, corpus.names) for corpus in found] == [
        (tuple(text for text, _ in ROWS), (1, 0, 1), ("no", "yes"))
    ] * 3
    assert len({corpus.fingerprint for corpus in found}) == 1


def test_a_file_without_a_telling_name_is_known_by_its_first_line(tmp_path: Path) -> None:
    for content in (
        "text\tlabel\nx\ta\ny\tb\n",
        "text,label\nx,a\ny,b\n",
        '{"text":"x","label":"a"}\n{"text":"y","label":"b"}',
    ):
        path = tmp_path / "labelled"
        path.write_text(content, "utf-8")
        assert read_labelled([path]).texts == ("x", "y")


def test_several_files_are_joined_and_other_columns_can_be_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.jsonl"
    one.write_text("id,body,stars\n1,fair,3\n2,fine,5\n", "utf-8")
    two.write_text('{"body": "poor", "stars": 1, "helpful": true}\n', "utf-8")
    corpus = read_labelled([one, two], "body", "stars")
    assert (corpus.texts, corpus.names) == (("fair", "fine", "poor"), ("1", "3", "5"))
    assert [file.name for file in corpus.files] == ["one.csv", "two.jsonl"]


def test_whole_numbers_and_booleans_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "label": true}\n{"text": "y", "label": 0}\n{"text": "z", "label": " a "}\n', "utf-8")
    assert read_labelled([path]).names == ("0", "a", "true")


def test_rows_without_text_or_label_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,a\n,b\ny,\n\nz,b\n", "utf-8")
    corpus = read_labelled([path])
    assert (corpus.texts, corpus.skipped) == (("x", "z"), 2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "review,label\nx,a\n", "no column 'text'; it has: review, label (name it with --text-column)"),
        ("a.csv", "text,stars\nx,a\n", "no column 'label'; it has: text, stars (name it with --label-column)"),
        ("a.csv", "text,label\nx,a\ny,b,c\n", "line 3: 3 fields, but the header names 2"),
        ("a.csv", 'text,label\n"x,a\n', "line 2: not a table"),
        ("a.csv", "text,label,label\nx,a,b\ny,b,a\n", "names the column 'label' twice"),
        ("a.csv", "text,label\nx,a\ny,a\n", "the only one is 'a'"),
        ("a.csv", "text,label\n", "no row with text and label"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": 1', "line 2: not a JSON object"),
        ("a.jsonl", '{"text": 7, "label": "a"}\n', "line 1: the text is not text but 7"),
        ("a.jsonl", '{"text": "x", "label": 1.5}\n', "line 1: the label is 1.5"),
        ("a.jsonl", '{"text": "x", "label": ' + "7" * 250 + "}\n", "line 1: '77777"),
        ("a.jsonl", '{"text": "x", "label": "a\\u001b[2J"}\n', "line 1: 'a\\x1b[2J' is no label"),
    ],
)
def test_what_is_no_labelled_text_is_refused_in_one_line_that_says_where(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    with pytest.raises(CelloquyError) as refused:
        read_labelled([path])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_a_hundred_thousand_columns_are_read_in_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{number}" for number in range(100_000)) + ",c7\n", "utf-8")
    began = time.process_time()
    with pytest.raises(CelloquyError, match="names the column 'c7' twice"):
        read_labelled([path])
    assert time.process_time() - began < 1


def test_a_text_of_many_commas_in_json_lines_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = ({"text": "a," * 300_000, "label": "long"}, {"text": "a", "label": "short"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert list(map(len, read_labelled([path]).texts)) == [600_000, 1]


def test_a_column_of_texts_taken_for_labels_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"x,text number {number}\n" for number in range(1500)), "utf-8")
    with pytest.raises(CelloquyError, match="1500 different labels"):
        read_labelled([path])


def test_a_label_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,a\ny,c\n", "utf-8")
    assert read_labelled([path], known=("c", "a", "b")).labels == (1, 0)
    with pytest.raises(CelloquyError, match="'c' is none of the model's: a, b"):
        read_labelled([path], known=("a", "b"))


def corpus_of(rows: list[tuple[str, int]]) -> LabelledCorpus:
    return LabelledCorpus(tuple(text for text, _ in rows), tuple(label for _, label in rows), ("a", "b", "c"))


@given(st.lists(st.tuples(st.text("xyY ", min_size=1, max_size=3), st.integers(0, 2)), min_size=60, max_size=200))
def test_no_text_is_on_both_sides_and_none_is_lost(rows: list[tuple[str, int]]) -> None:
    """Some texts of each label stand only once, at the beginning and at the end; those between come again and again."""
    first, last = (
        [(f"{where} {label} {number}", label) for label in range(3) for number in range(3)] for where in "ab"
    )
    corpus = corpus_of([*first, *rows, *last])
    split = split_labelled(corpus, 0.2)
    assert sorted(split.train + split.validation) == list(range(len(corpus)))
    sides = [
        {" ".join(corpus.texts[place].split()).lower() for place in part} for part in (split.train, split.validation)
    ]
    assert not sides[0] & sides[1]


def test_the_split_is_stratified_and_takes_the_unbroken_end_of_each_label() -> None:
    rows = [(f"text {number}", 0 if number < 100 else 1 + number % 2) for number in range(300)]
    split = split_labelled(corpus_of(rows), 0.1)
    assert corpus_of(rows).counts(split.validation) == [10, 10, 10]
    assert split.validation == (*range(90, 100), *range(280, 300))


def test_a_label_too_rare_to_be_on_both_sides_is_named() -> None:
    rows = [(f"text {number}", number % 2) for number in range(50)] + [("alone", 2)]
    with pytest.raises(CelloquyError, match="'c' has no text"):
        split_labelled(corpus_of(rows), 0.1)


def test_the_balance_is_told_in_numbers_and_shares() -> None:
    assert balance(("no", "yes"), (300, 1700)) == "yes 1,700 (85.0%), no 300 (15.0%)"
