"""Training on byte pairs and words: the tokenizer travels in the file, and losses compare in bits a character."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cells.errors import CelloquyError, UsageError
from checkpoints.bpe import BpeTokenizer
from checkpoints.evaluate import evaluate
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint

Train = Callable[..., Path]


@pytest.mark.parametrize("tokens", ["bpe:300", "word", "word:60"])
def test_the_whole_tokenizer_is_in_the_file_and_the_log_tells_bits_a_character(
    small_train: Train, corpus: Path, tokens: str
) -> None:
    path = small_train(tokens=tokens, name="sub", steps=20)
    corpus_text = corpus.read_text()
    corpus.unlink()
    loaded = load_checkpoint(path)
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(corpus_text)) == corpus_text
    assert loaded.header.recipe["tokens"] == tokens
    figures = loaded.header.figures
    validation = corpus_text[int(len(corpus_text) * 0.9) :]
    count = len(loaded.tokenizer.encode(validation))
    expected = figures["val_loss"] / math.log(2) * count / len(validation)
    assert figures["val_bits_per_character"] == pytest.approx(expected)
    assert evaluate(loaded, validation)["bits_per_character"] == pytest.approx(expected, abs=1e-3)


def test_byte_pairs_are_learned_once_for_all_cells(small_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    train = BpeTokenizer.train

    def counted(text: str, size: int) -> BpeTokenizer:
        learned.append(size)
        return train(text, size)

    monkeypatch.setattr(BpeTokenizer, "train", counted)
    small_train(tokens="bpe:300", cell="rnn,gru", steps=1)
    assert learned == [300]


def test_a_resumed_run_of_byte_pairs_ends_with_the_same_bits(small_train: Train) -> None:
    whole = small_train(tokens="bpe:300", name="whole", steps=40)
    small_train(tokens="bpe:300", name="parts", steps=20, schedule="constant")
    resumed = small_train(tokens="bpe:300", name="parts", steps=40, schedule="constant", resume=True)
    again = small_train(tokens="bpe:300", name="again", steps=40, schedule="constant")
    assert load_checkpoint(resumed).header.figures["val_loss"] == load_checkpoint(again).header.figures["val_loss"]
    assert load_checkpoint(whole).tokenizer.to_json() == load_checkpoint(resumed).tokenizer.to_json()


def test_tokens_and_normalisation_cannot_change_when_a_run_is_resumed(small_train: Train) -> None:
    small_train(tokens="word", name="fixed", steps=2)
    for change in ({"tokens": "char"}, {"normalize": "nfkc"}, {"lowercase": True}):
        with pytest.raises(UsageError, match="cannot change when a run is resumed"):
            small_train(name="fixed", steps=4, resume=True, **change)


@pytest.mark.parametrize("options", [{"tokens": "bpe:300"}, {"tokens": "word", "lowercase": True, "normalize": "nfc"}])
def test_starting_from_a_checkpoint_takes_its_tokens(small_train: Train, options: dict[str, Any]) -> None:
    source = small_train(name="source", steps=20, **options)
    started = small_train(name="next", steps=1, lr=1e-9, hidden=None, **{"from": str(source)})
    assert load_checkpoint(started).tokenizer.to_json() == load_checkpoint(source).tokenizer.to_json()
    recipe = read_header(started).recipe
    assert (recipe["lowercase"], recipe["normalize"]) == (
        options.get("lowercase", False),
        options.get("normalize", "none"),
    )
    with pytest.raises(UsageError, match="the checkpoint to start from has"):
        small_train(name="other", steps=1, hidden=None, tokens="char", **{"from": str(source)})


def test_lower_case_is_read_alike_and_written_small(small_train: Train) -> None:
    loaded = load_checkpoint(small_train(name="low", steps=10, lowercase=True))
    assert evaluate(loaded, "THE QUALITY OF MERCY")["nats_per_token"] == pytest.approx(
        evaluate(loaded, "the quality of mercy")["nats_per_token"]
    )
    characters = loaded.header.tokenizer["characters"]
    assert characters == characters.lower()


def test_a_forged_vocabulary_is_one_line(small_train: Train) -> None:
    path = small_train(tokens="bpe:300", name="forged", steps=2)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    table = json.loads(whole[8 : 8 + size])
    (key,) = (key for key in table["__metadata__"] if "tokenizer" in table["__metadata__"][key])
    description = json.loads(table["__metadata__"][key])
    description["tokenizer"]["merges"][:2] = [999, 999]
    table["__metadata__"][key] = json.dumps(description, ensure_ascii=False, sort_keys=True)
    header = json.dumps(table, ensure_ascii=False).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + size :])
    with pytest.raises(CelloquyError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_info_of_a_checkpoint_of_words_imports_neither_torch_nor_the_library(small_train: Train) -> None:
    path = small_train(tokens="word", name="words", steps=2)
    code = (
        "import sys; from repl.cli import main; sys.argv = ['celloquy', 'info', sys.argv[1], '--json']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'tokenizers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["tokenizer"]["kind"] == "word"
