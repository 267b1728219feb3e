"""Labels that steer: training, generating, mixing, changing in mid-stream, going back, saving, and turning round."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import celloquy as interface
from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from cells.gru import GRU
from cells.initialise import initialise
from cells.labels import LABEL, with_label
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from checkpoints.header import read_header
from checkpoints.labels.steering import one_line
from checkpoints.loading import load_checkpoint
from checkpoints.progress import Reporter
from checkpoints.train import train
from plugins.registry import load_plugins
from repl.batch import Job
from repl.generator import Writer
from repl.labels import label_weights
from repl.saved_readings import SavedTree, reading_from

from .conftest import SMALL, write_csv

NAMES = ("digits", "letters", "signs")
V = 7


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes runs of digits, of letters or of signs, as its label says."""
    folder = tmp_path_factory.mktemp("steered")
    around = {"digits": "1234" * 20, "letters": "abcd" * 20, "signs": "+-*/" * 20}
    rows = [(around[kind][number % 4 : number + 5], kind) for number in range(60) for kind in NAMES]
    path = write_csv(folder / "runs.csv", rows)
    options = {
        **SMALL,
        "hidden": 32,
        "steps": 200,
        "bptt": 16,
        "val": 0.05,
        "embed": 8,
        "label_dropout": 0.1,
        "reset": 0.2,
    }
    options |= {"out": folder, "label_column": "label", "reporter": Reporter(io.StringIO())}
    return train(path, name="runs", cell="gru", **options)[0]


@pytest.fixture
def write(steered: Path) -> Callable[..., Writer]:
    return lambda **sampling: Writer(load_checkpoint(steered), **{"temperature": 0.3, "seed": 3, **sampling})


def test_weights_of_a_mixture_may_be_of_any_size() -> None:
    assert label_weights("digits:1e308,signs:1e308", NAMES, "runs") == [0.5, 0.0, 0.5]
    assert label_weights("digits:1e-320,signs:3e-320", NAMES, "runs") == pytest.approx([0.25, 0.0, 0.75], abs=0.01)


def test_a_model_that_labels_steer_is_no_state_dictionary(steered: Path, tmp_path: Path) -> None:
    from checkpoints.exchange import export_weights

    with pytest.raises(CelloquyError, match="labels steer it"):
        export_weights(load_checkpoint(steered), tmp_path)
    assert not [*tmp_path.glob("*.weights.*")]


def kind_of(text: str) -> set[str]:
    kinds = {"digits": "1234", "letters": "abcd", "signs": "+-*/"}
    return {kind for kind, characters in kinds.items() if set(text) & set(characters)}


def model_of(cell: type[Cell], **sizes: Any) -> LanguageModel:
    config = ModelConfig(V, **{"hidden_size": 8, "embedding_size": 5, "labels": 3, "label_size": 4, **sizes})
    model = LanguageModel(cell(), config)
    initialise(model, "default", 3)
    return model.eval()


# ---------------------------------------------------------------------- the model


@pytest.mark.parametrize("cell", [GRU, LSTM])
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_the_input_is_the_embedding_joined_with_the_labels_vector(cell: type[Cell], norm: str) -> None:
    """Loop with the folded table, kernel, and decoder agree with the definition, worked out by hand."""
    model = model_of(cell, norm=norm)
    assert model.labels is not None
    tokens = torch.randint(0, V, (40, 3))
    labels = torch.randint(0, 3, (40, 3))
    block = model.blocks[0]
    joined = torch.cat([block.before(model.embedding(tokens)), F.embedding(labels, model.labels.weight)], -1)
    expected = model.read(block.recurrent(joined)[0])
    for training in (False, True):
        model.train(training)
        logits, state = model(tokens + V * (labels + 1))
        assert torch.allclose(logits, expected, atol=1e-5)
        assert not state[-1][LABEL].any()
        short, _ = model((tokens + V * (labels + 1))[:1])  # fewer tokens than the vocabulary: no table
        assert torch.allclose(short, expected[:1], atol=1e-5)


@pytest.mark.parametrize("weights", [(0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.5, 0.3)])
def test_the_decoder_reads_the_streams_label_and_keeps_it(weights: tuple[float, ...]) -> None:
    model = model_of(GRU, num_layers=2)
    tokens = torch.randint(0, V, (20, 2))
    start = with_label(model.initial_state(2), torch.tensor(weights))
    logits, _ = model(tokens, start)
    decoder, state = model.decoder(), start
    for t in range(20):
        row, state = decoder.step(tokens[t], state)
        assert torch.allclose(row, logits[t], atol=1e-5)
    assert torch.allclose(state[-1][LABEL], torch.tensor(weights).expand(2, 3))
    assert torch.allclose(decoder.read(tokens, start)[0]["h"], state[0]["h"], atol=1e-5)
    if weights == (0.0, 1.0, 0.0):
        assert torch.allclose(model(tokens + V * 2)[0], logits, atol=1e-6)


def test_a_loss_is_of_the_token_and_never_of_its_label() -> None:
    from cells.loss import mean_loss

    model = model_of(GRU)
    tokens = torch.randint(0, V, (9, 2))
    hidden, _ = model.hidden(tokens)
    assert torch.equal(mean_loss(model, hidden, tokens), mean_loss(model, hidden, tokens + 2 * V))


@pytest.mark.parametrize("sizes", [{"labels": 3, "label_size": 0}, {"labels": -1}])
def test_impossible_label_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        ModelConfig(V, **sizes)


# ---------------------------------------------------------------------- training


def test_the_header_says_what_labels_there_are(steered: Path) -> None:
    header = read_header(steered)
    assert (header.task, header.label_names) == ("generate", NAMES)
    assert sum(header.labels["counts"]) == header.split["train_texts"]
    assert (header.model["labels"], header.model["label_size"]) == (3, 16)
    assert header.figures["val_loss"] < 1


def test_a_stopped_and_resumed_run_ends_with_the_same_bits(tmp_path: Path, stopper: Any) -> None:
    from checkpoints.files import load_tensors
    from checkpoints.interrupt import Interrupted

    rows = [(f"{kind} {number}", kind) for number in range(30) for kind in ("left", "right")]
    path = write_csv(tmp_path / "a.csv", rows, ("words", "side"))
    options = {**SMALL, "steps": 30, "bptt": 16, "eval_every": 10, "out": tmp_path, "cell": "rnn"}
    columns = {"text_column": "words", "label_column": "side"}
    silent = Reporter(io.StringIO())
    whole = train(path, name="whole", **columns, **options, reporter=silent)[0]
    with pytest.raises(Interrupted):
        train(path, name="parts", **columns, **options, reporter=stopper(10))
    parts = train(path, name="parts", cell="rnn", out=tmp_path, resume=True, reporter=silent)[0]
    one, other = load_tensors(whole), load_tensors(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_first_token_of_a_text_is_foretold_with_its_own_label(steered: Path) -> None:
    """A line break that ends one text begins the next: as an input it has the next one's label."""
    writer = Writer(load_checkpoint(steered), temperature=0.3, seed=1)
    for label in NAMES:
        done = writer.continuations([Job("", sample) for sample in range(20)], 1, label=label)
        assert [kind_of(one.text) for one in done] == [{label}] * 20


def test_a_text_becomes_one_line() -> None:
    assert one_line(" a\n\n b \r\nc ") == "a b c\n"


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize("label", NAMES)
def test_the_text_is_what_the_label_says(write: Callable[..., Writer], label: str) -> None:
    writer = write()
    assert kind_of(writer.generate("", 40, label=label)) == {label}
    streamed = "".join(writer.stream("\n", 40, label=label))
    assert kind_of(streamed) == {label}
    assert writer.settings["label"] is None


def test_a_batch_is_what_each_is_alone(write: Callable[..., Writer]) -> None:
    writer = write(label="letters:2,digits")
    together = writer.generate_batch(["", "a", "\n"], 30)
    assert together == [writer.generate(prompt, 30) for prompt in ("", "a", "\n")]


def test_the_label_changes_in_mid_stream(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    pieces: list[str] = []
    for number, piece in enumerate(writer.stream("\n", 240)):
        pieces.append(str(piece))
        if number == 59:
            writer.settings["label"] = "signs"
    text = "".join(pieces)
    assert kind_of(text[:60]) == {"digits"}
    assert kind_of(text[-60:]) == {"signs"}


def test_going_back_brings_back_the_label_and_every_bit(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    list(writer.stream("\n", 30))
    here = writer.snapshot()
    expected = "".join(writer.stream("", 30))
    writer.settings["label"] = "signs"
    list(writer.stream("", 100))
    writer.restore(here)
    assert writer.settings["label"] == "digits"
    assert "".join(writer.stream("", 30)) == expected


def test_after_undo_the_label_that_is_set_steers(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    list(writer.stream("\n", 30))
    writer.settings["label"] = "letters"
    list(writer.stream("\n", 30))
    writer.undo(45)
    assert kind_of("".join(writer.stream("\n", 40))) == {"letters"}


def test_a_saved_text_is_gone_on_with_to_the_bit(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    list(writer.stream("\n", 20))
    writer.settings["label"] = "signs"
    list(writer.stream("", 20))
    place = writer.snapshot()
    tree = SavedTree()
    number = tree.number(place.passage)
    rows = json.loads(tree.rows({number: place.position}))
    assert sum("state" in row for row in rows if not row["tokens"]) == 2  # where the label was set
    reading, passages = reading_from(rows, place.reading.model)
    for row in rows[1:]:
        assert ("state" in row) or row["tokens"]
    for passage in passages:
        if passage.tokens:
            passage.position = None  # everything is worked out again from where the label was set
    reading.go_to(passages[number])
    for one, other in zip(reading.position.state, place.position.state, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("label", "weights"),
    [
        (None, [0, 0, 0, 0]),
        ("b", [0, 1, 0, 0]),
        ("a:0.7,b:0.3", [0.7, 0.3, 0, 0]),
        ("a, c:3", [0.25, 0, 0.75, 0]),
        ("x:1", [0, 0, 0, 1]),
        ("x:1:3,a", [0.25, 0, 0, 0.75]),
    ],
)
def test_a_mixture_is_labels_with_weights(label: str | None, weights: list[float]) -> None:
    assert label_weights(label, ("a", "b", "c", "x:1"), "m") == pytest.approx(weights)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("d", "m has no label 'd'; it has: a, b, c"),
        ("a:0", "a label's weight must be a number above 0"),
        ("a:-1,b", "a label's weight must be a number above 0"),
        ("a:nan", "a label's weight must be a number above 0"),
        ("a:x", "a label's weight must be a number above 0"),
        ("a,a", "stands twice"),
        ("", "has no label ''"),
    ],
)
def test_what_is_no_label_is_refused_with_those_there_are(label: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        label_weights(label, ("a", "b", "c"), "m")


def test_a_refused_label_leaves_the_one_before(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    for attempt in (
        lambda: writer.settings.__setitem__("label", "colours"),
        lambda: writer.stream("", 10, label="colours"),
        lambda: writer.generate("", 10, label="colours"),
    ):
        with pytest.raises(UsageError, match="no label 'colours'; it has: digits, letters, signs"):
            attempt()
    assert writer.settings["label"] == "digits"
    with pytest.raises(UsageError, match="has no labels to steer it"):
        interface.load("shakespeare", cell="gru", label="digits")


def test_the_score_is_that_of_the_label(write: Callable[..., Writer]) -> None:
    text = "\n12341234\n"
    assert write(label="digits").score(text).nats_per_token < write(label="signs").score(text).nats_per_token - 0.2


# ---------------------------------------------------------------------- strength


@pytest.mark.parametrize("label", ["b", "a:0.7,c:0.3"])
@pytest.mark.parametrize("strength", [0.5, 2.0, 10.0])
def test_strength_moves_the_vector_away_from_the_mean_of_all(label: str, strength: float) -> None:
    vectors = torch.randn(3, 4, dtype=torch.float64)
    mean = vectors.mean(0)
    plain, moved = (
        torch.tensor(label_weights(label, ("a", "b", "c"), "m", by), dtype=torch.float64) @ vectors
        for by in (1.0, strength)
    )
    assert torch.allclose(moved, mean + strength * (plain - mean))


def test_strength_1_and_no_label_leave_every_bit() -> None:
    names = ("a", "b", "c")
    for label in ("b", "a:0.7,c:0.3", "a:0.1,b:0.2,c:0.4"):
        assert label_weights(label, names, "m", 1.0) == label_weights(label, names, "m")
    assert label_weights("b", names, "m") == [0, 1, 0]
    assert label_weights(None, names, "m", 5.0) == [0, 0, 0]


def test_text_at_strength_1_is_that_without_the_option(write: Callable[..., Writer]) -> None:
    writer = write(label="digits:0.6,signs:0.4", temperature=1.0)
    plain = writer.generate("", 60)
    assert writer.generate("", 60, label_strength=1) == plain
    assert writer.generate("", 60, label_strength=3) != plain


def test_a_stronger_label_is_agreed_with_more_often(tmp_path: Path) -> None:
    """Two kinds that differ in the shares of their letters, judged by Bayes' rule with weights that are no stronger."""
    draw = torch.Generator().manual_seed(1)
    rows = []
    for kind, share in (("dark", 0.35), ("light", 0.65)):
        for _ in range(150):
            bits = (torch.rand(6, generator=draw) < share).tolist()
            rows.append(("".join("i" if bit else "o" for bit in bits), kind))
    options = {**SMALL, "hidden": 16, "steps": 150, "bptt": 16, "embed": 8, "val": 0.1, "lr": 1e-2}
    options |= {"out": tmp_path, "label_column": "label", "reporter": Reporter(io.StringIO())}
    path = train(write_csv(tmp_path / "shades.csv", rows), name="shades", cell="gru", **options)[0]
    writer, judge = Writer(load_checkpoint(path), temperature=1.0, seed=5), interface.load_classifier(path)
    agreed = {}
    for strength in (1.0, 3.0):
        jobs = [Job("", sample) for sample in range(100)]
        found = []
        for label in ("dark", "light"):
            done = writer.continuations(jobs, 6, label=label, label_strength=strength)
            texts = [one.text.strip() or "o" for one in done]
            found += [next(iter(shares)) == label for shares in judge.classify_all(texts)]
        agreed[strength] = sum(found) / len(found)
    assert agreed[3.0] > agreed[1.0] + 0.05, agreed


def test_strength_counts_from_the_next_token_and_going_back_brings_it_back(write: Callable[..., Writer]) -> None:
    writer = write(label="digits")
    list(writer.stream("\n", 20))
    writer.settings["label-strength"] = 2.0
    list(writer.stream("", 5))
    state = writer.snapshot().position.state[-1][LABEL]
    assert state[0].tolist() == pytest.approx([5 / 3, -1 / 3, -1 / 3])
    here = writer.snapshot()
    expected = "".join(writer.stream("", 30))
    writer.settings["label-strength"] = 0.1
    list(writer.stream("", 30))
    writer.restore(here)
    assert writer.settings["label_strength"] == 2.0
    assert "".join(writer.stream("", 30)) == expected


@pytest.mark.parametrize("strength", [0, -1, 10.5, float("nan")])
def test_a_strength_that_is_none_is_refused(write: Callable[..., Writer], strength: float) -> None:
    with pytest.raises(UsageError, match="label-strength"):
        write(label_strength=strength)


# ---------------------------------------------------------------------- the command line, and turning round


def test_generate_takes_a_label(steered: Path, celloquy: Callable[..., Any]) -> None:
    done = celloquy("generate", steered, "--label", "letters", "-p", "", "-n", 30, "--seed", 1, "--json", "-t", 0.3)
    (found,) = (json.loads(line) for line in done.stdout.splitlines())
    assert found["label"] == "letters"
    assert kind_of(found["text"]) == {"letters"}
    assert "label_strength" not in found
    done = celloquy(
        "generate", steered, "--label", "letters", "--label-strength", 2, "-p", "", "-n", 30, "--seed", 1, "--json"
    )
    (found,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (found["label"], found["label_strength"]) == ("letters", 2.0)
    refused = celloquy("generate", steered, "--label", "colours", "-p", "", "-n", 3)
    assert refused.status == 2
    assert "no label 'colours'" in refused.stderr


def test_the_generator_turns_round_and_says_so(steered: Path, celloquy: Callable[..., Any]) -> None:
    done = celloquy("classify", steered, "--lines", "--json", input="341234\nbcdabcd\n*/+-*/\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["label"] for one in found] == list(NAMES)
    assert "Bayes' rule on log p(text | label)" in found[0]["method"]
    assert "Bayes' rule" in done.stderr


def test_bayes_rule_is_what_the_likelihoods_and_priors_give(steered: Path) -> None:
    """Against a reading of one text at a time by the model itself."""
    loaded = load_checkpoint(steered)
    classifier = interface.load_classifier(steered)
    counts = torch.tensor(read_header(steered).labels["counts"], dtype=torch.float64)
    for text in ("1234", "abc", "12ab", "d"):
        ids = loaded.tokenizer.encode("\n" + text + "\n")
        scores = []
        for label in range(3):
            tokens = torch.tensor(ids[:-1]).unsqueeze(1) + (label + 1) * loaded.model.config.vocabulary_size
            logits, _ = loaded.model(tokens)
            losses = F.cross_entropy(logits[:, 0].double(), torch.tensor(ids[1:]), reduction="sum")
            scores.append(-losses)
        expected = (torch.stack(scores) + counts.log()).softmax(0)
        found = classifier.classify(text)
        assert [found[name] for name in NAMES] == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_lab_reads_a_model_that_labels_steer(steered: Path, celloquy: Callable[..., Any]) -> None:
    done = celloquy("gates", steered, "1234")
    assert done.status == 0, done.stderr
    assert celloquy("step", steered, "12").status == 0


def test_every_cell_can_be_steered() -> None:
    registry = load_plugins()
    for name in registry.cells:
        config = ModelConfig(V, hidden_size=4, labels=2, label_size=3)
        model = LanguageModel(registry.create_cell(name), config)
        initialise(model, "default", 1)
        tokens = torch.randint(0, V, (6, 2))
        one, other = (model(tokens + V * number)[0] for number in (1, 2))
        assert not torch.allclose(one, other)
        one.sum().backward()
        assert model.labels is not None
        assert model.labels.weight.grad is not None


def test_what_has_no_labels_is_said_to_have_none() -> None:
    with pytest.raises(CelloquyError, match="knows no labels"):
        interface.load_classifier("shakespeare", cell="gru")
