"""The family that ships: its provenance, its names, and that it knows the language (tests/test_shipped.py has more)."""

from __future__ import annotations

import pytest

from checkpoints.finding import SHIPPED, find, siblings
from checkpoints.header import Header, read_header
from checkpoints.loading import load_checkpoint
from repl.generator import Writer

CELLS = ("rnn", "lstm", "gru")


def header(cell: str) -> Header:
    return read_header(SHIPPED / f"shakespeare.{cell}.safetensors")


@pytest.mark.parametrize("cell", CELLS)
def test_each_says_what_it_was_made_of(cell: str) -> None:
    said = header(cell)
    assert said.figures["step"] > 0
    assert said.corpus["fingerprint"].removeprefix("sha256:") == (
        "da68ca4e8201d41a12c1d5e82d967bda85105f1dabe823d5735138bccabdd387"
    )
    assert len(said.corpus["files"]) == 42
    assert said.split["val_fraction"] == 0.1
    assert said.split["val_tokens"] == pytest.approx(said.corpus["characters"] / 10, abs=1)
    assert said.recipe["store"] == "bf16"


def test_the_family_is_found_by_name_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path))
    best = min(CELLS, key=lambda cell: header(cell).figures["val_loss"])
    assert find("shakespeare") == SHIPPED / f"shakespeare.{best}.safetensors"
    assert list(siblings(find("shakespeare"))) == list(CELLS)


def test_a_text_of_the_language_is_less_surprising_than_the_same_letters_in_disorder() -> None:
    said = "But soft, what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n"
    for cell in CELLS:
        writer = Writer(load_checkpoint(str(SHIPPED / f"shakespeare.{cell}.safetensors")))
        plain, disorder = writer.score(said), writer.score("".join(sorted(said)))
        assert plain.nats_per_token < 2.2 < disorder.nats_per_token, cell
