"""``train --task classify``, resuming it, and what uses the result: classify, eval, info, the Python interface."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import celloquy as interface
from cells.errors import CelloquyError, UsageError
from checkpoints.files import load_tensors
from checkpoints.finding import describe
from checkpoints.header import read_header
from checkpoints.interrupt import Interrupted
from checkpoints.labels.batches import EncodedTexts, TextBatches, encoded
from checkpoints.labels.sessions import ClassifierSession, LabelledTexts
from checkpoints.loading import load_checkpoint
from checkpoints.options import TrainOptions
from checkpoints.progress import Reporter
from checkpoints.tokenizers import ByteTokenizer

from .conftest import opinions, write_csv

Train = Callable[..., Path]


def test_it_learns_and_says_how_well(classify_train: Train, messages: io.StringIO) -> None:
    path = classify_train(steps=120)
    header = read_header(path)
    assert (header.task, header.label_names, header.labels["counts"]) == (
        "classify",
        ("negative", "positive"),
        [135, 135],
    )
    assert header.figures["val_accuracy"] >= 0.9
    said = messages.getvalue()
    assert "to learn from: negative 135 (50.0%), positive 135 (50.0%)" in said
    assert "accuracy" in said
    assert "confusion" in said
    assert header.figures["val_confusion"][0][0] + header.figures["val_confusion"][1][1] >= 27


@pytest.mark.parametrize(
    "options", [{"bidirectional": True, "layers": 2, "dropout": 0.3, "cell": "lstm"}, {"cell": "mingru", "ema": 0.9}]
)
def test_a_stopped_and_resumed_run_ends_with_the_same_bits(
    classify_train: Train, reviews: Path, options: dict[str, Any], stopper: Any
) -> None:
    whole = classify_train(name="whole", steps=40, eval_every=20, **options)
    with pytest.raises(Interrupted, match="--resume"):
        classify_train(name="parts", steps=40, eval_every=20, reporter=stopper(20), **options)
    given = {"task": None, "tokens": None, "eval_every": None, "batch": None, "lr": None, "hidden": None}
    parts = classify_train(
        name="parts", steps=40, resume=True, **{**dict.fromkeys(options), **given, "cell": options["cell"]}
    )
    one, other = load_tensors(whole), load_tensors(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_word_vectors_are_where_the_embedding_begins(
    classify_train: Train, tmp_path: Path, messages: io.StringIO
) -> None:
    vectors = tmp_path / "glove.txt"
    vectors.write_text("good 1 2 3\nbad -1 -2 -3\n", "utf-8")
    path = classify_train(vectors=vectors, steps=1, lr=1e-9, weight_decay=0.0)
    header = read_header(path)
    words = header.tokenizer["words"]
    table = load_tensors(path)["embedding.weight"]
    assert torch.allclose(table[1 + words.index(" good")], torch.tensor([1.0, 2, 3]), atol=1e-6)
    assert header.recipe["vectors"] == "glove.txt"
    assert "tokens have a vector of 3" in messages.getvalue()
    with pytest.raises(UsageError, match="the word vectors have 3 numbers"):
        classify_train(vectors=vectors, embed=8, steps=1)


def test_labels_may_be_more_than_two(classify_train: Train, tmp_path: Path) -> None:
    rows = [(f"{word} {number}", word) for number in range(40) for word in ("red", "green", "blue")]
    path = classify_train(write_csv(tmp_path / "colours.csv", rows), steps=60)
    found = interface.load_classifier(path).classify("green 7")
    assert list(found) != sorted(found)
    assert next(iter(found)) == "green"
    assert sum(found.values()) == pytest.approx(1)


def test_the_probabilities_of_a_text_do_not_depend_on_its_company(opinion: Path) -> None:
    classifier = interface.load_classifier(opinion)
    texts = [text for text, _ in opinions(300, seed=9)]
    together = list(classifier.classify_all(iter(texts)))
    assert len(together) == 300
    for text, found in zip(texts[::50], together[::50], strict=True):
        assert classifier.classify(text) == pytest.approx(found, abs=1e-5)
    right = [next(iter(found)) == label for found, (_, label) in zip(together, opinions(300, seed=9), strict=True)]
    assert sum(right) >= 270


def test_classify_prints_labels_with_probabilities(opinion: Path, celloquy: Callable[..., Any]) -> None:
    done = celloquy("classify", opinion, "-p", "a great film")
    assert done.status == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["positive", "negative"]
    assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=2e-4)


def test_classify_reads_lines_and_writes_json(opinion: Path, celloquy: Callable[..., Any]) -> None:
    lines = "a great film\nan awful plot\n\n"
    done = celloquy("classify", opinion, "--lines", "--json", input=lines)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["text"] for one in objects] == ["a great film", "an awful plot", ""]
    assert [one["label"] for one in objects[:2]] == ["positive", "negative"]
    for one in objects:
        assert one["probability"] == max(one["probabilities"].values())
        assert one["checkpoint"] == "opinion.gru"
    plain = celloquy("classify", opinion, "--lines", input=lines).stdout.splitlines()
    assert plain[1].startswith("negative ")
    assert len(plain) == 3


def test_eval_scores_labelled_text(opinion: Path, celloquy: Callable[..., Any], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "new.csv", opinions(50, seed=4))
    found = json.loads(celloquy("eval", opinion, path, "--json").stdout)
    assert found["texts"] == 50
    assert found["accuracy"] >= 0.9
    assert sum(map(sum, found["confusion"])) == 50
    assert celloquy("eval", opinion, path).stdout.startswith("accuracy ")


def test_list_and_info_know_a_classifier(opinion: Path, celloquy: Callable[..., Any]) -> None:
    described = describe(opinion)
    assert (described["task"], described["labels"]["names"]) == ("classify", ["negative", "positive"])
    assert "labels.names" in celloquy("info", opinion).stdout


@pytest.mark.parametrize("command", ["generate", "gates"])
def test_what_writes_says_that_a_classifier_does_not(opinion: Path, celloquy: Callable[..., Any], command: str) -> None:
    done = celloquy(command, opinion, *(["-p", "x"] if command == "generate" else ["x"]))
    assert done.status == 1
    assert done.stderr.startswith("error: opinion.gru tells the labels of texts and writes none; celloquy classify")
    with pytest.raises(CelloquyError, match="writes none"):
        load_checkpoint(opinion)


def test_what_writes_is_no_classifier() -> None:
    with pytest.raises(CelloquyError, match="knows no labels; celloquy train --task classify makes a classifier"):
        interface.load_classifier("shakespeare")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tie": True}, "tie means nothing for a classifier"),
        ({"bptt": 64}, "bptt means nothing for a classifier"),
        ({"label_size": 4}, "label-size means nothing for a classifier"),
        ({"task": "generate", "bidirectional": True}, "bidirectional is for labelled text"),
        (
            {"task": "generate", "label_column": "label", "pool": "max"},
            "pool means nothing for a model that labels steer",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(classify_train: Train, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        classify_train(**options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"names": ["one"], "counts": [1]}}, "not a list of 2 to 1000"),
        ({"labels": {"names": ["one", "one"], "counts": [1, 1]}}, "stand twice"),
        ({"labels": {"names": ["a", "b", "c"], "counts": [1, 1, 1]}}, "has 2 labels, its header 3"),
        ({"labels": {"names": ["a", "b"], "counts": [0, 0]}}, "or all 0"),
        ({"labels": {"names": list(map(str, range(1001))), "counts": [1] * 1001}}, "not a list of 2 to 1000"),
        ({"task": "translate"}, "its task is 'translate'"),
    ],
)
def test_a_damaged_header_is_refused(opinion: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    from checkpoints.files import save_safetensors

    header = {**read_header(opinion).to_json(), **change}
    path = tmp_path / "bad.gru.safetensors"
    save_safetensors(path, load_tensors(opinion), json.dumps(header))
    with pytest.raises(CelloquyError, match=said):
        interface.load_classifier(path)


def test_batches_are_of_like_length_and_hold_every_text_once_an_epoch() -> None:
    draw = torch.Generator().manual_seed(2)
    lengths = torch.randint(1, 60, (333,), generator=draw).tolist()
    texts = EncodedTexts(
        encoded(ByteTokenizer(), chr(65 + place % 26) * length, 0) for place, length in enumerate(lengths)
    )
    batches = TextBatches(texts, list(range(333)), 8, seed=1)
    epochs = []
    padding = tokens = 0
    for _ in range(2):
        seen: list[int] = []
        for _ in range(batches.batches_an_epoch):
            inputs, labels = batches.next()
            assert (inputs >= 0).sum(0).tolist() == [lengths[place] for place in labels.tolist()]
            padding += int((inputs < 0).sum())
            tokens += int((inputs >= 0).sum())
            seen += labels.tolist()
        epochs.append(seen)
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(333))
    assert epochs[0] != epochs[1]
    assert padding < 0.1 * tokens
    position = batches.read
    ahead = batches.next()[1].tolist()
    again = TextBatches(texts, list(range(333)), 8, seed=1)
    again.read = position
    assert again.next()[1].tolist() == ahead


def test_a_long_text_is_read_from_both_its_ends() -> None:
    assert bytes(encoded(ByteTokenizer(), "abcdefghij", 5).tolist()) == b"abhij"
    assert bytes(encoded(ByteTokenizer(), "abcde", 5).tolist()) == b"abcde"
    assert encoded(ByteTokenizer(), "", 5).tolist() == [0]


def test_fewer_texts_than_processes_are_refused(reviews: Path) -> None:
    session = ClassifierSession([reviews], None, Reporter(io.StringIO()))
    session.ranks.count = 8
    options = TrainOptions.from_values({"name": "many", "task": "classify"})
    texts = EncodedTexts([numpy.ones(4, dtype=numpy.int32)] * 3)
    text = LabelledTexts(ByteTokenizer(), texts.tokens, texts.tokens[:0], 0, texts, (0, 1, 1))
    with pytest.raises(CelloquyError, match="only 3 texts to learn from, too few for 8 processes"):
        session._size(options, text)
