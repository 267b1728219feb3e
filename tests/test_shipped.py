"""The checkpoints that ship are what the README says of them, and what they write reads like what they learned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import celloquy
from checkpoints.dialog import Template
from checkpoints.header import read_header
from repl.batch import Job

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "checkpoints" / "shipped"
PLAYS = ("rnn", "lstm", "gru")
COMMON = {
    "the",
    "and",
    "to",
    "of",
    "i",
    "you",
    "my",
    "a",
    "that",
    "in",
    "is",
    "not",
    "it",
    "me",
    "for",
    "with",
    "be",
    "your",
}


@pytest.fixture(autouse=True)
def _only_what_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path))


def header(name: str) -> Any:
    return read_header(SHIPPED / f"{name}.safetensors")


@pytest.mark.parametrize(("family", "largest"), [("shakespeare", 2.5e6), ("chitchat", 5e6), ("tang", 5e6)])
def test_each_file_is_small(family: str, largest: float) -> None:
    sizes = [path.stat().st_size for path in SHIPPED.glob(f"{family}.*.safetensors")]
    assert sizes
    assert max(sizes) <= largest


def test_the_plays_were_learned_well_and_from_the_same_text() -> None:
    headers = [header(f"shakespeare.{cell}") for cell in PLAYS]
    losses = [one.figures["val_loss"] for one in headers]
    assert min(losses) < 1.45
    assert max(losses) < 1.70
    assert len({one.corpus["fingerprint"] for one in headers}) == 1


@pytest.mark.parametrize("cell", PLAYS)
def test_what_is_written_reads_like_a_play(cell: str) -> None:
    writer = celloquy.load("shakespeare", cell=cell)
    text = "".join(writer.generate_batch(["ROMEO.\n", "JULIET.\n", "HAMLET.\n"], 500, temperature=0.7, seed=1))
    words = re.findall(r"[a-z]+", text.lower())
    assert len(re.findall(r"^[A-Z][A-Z ]+\.$", text, re.MULTILINE)) >= 3  # speakers, each on a line
    assert text.count("\n") > 20
    assert sum(word in COMMON for word in words) / len(words) > 0.2


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_family_that_chats_carries_its_template_and_ends_its_turns(cell: str) -> None:
    template = Template.from_json(header(f"chitchat.{cell}").template)
    writer = celloquy.load("chitchat", cell=cell)
    prompt = template.turn("How are you today?") + template.answer_mark
    answers = writer.generate_batch([prompt], 400, stop=[template.end], temperature=0.7, seed=2)
    assert 0 < len(answers[0]) < 400
    assert "A: " not in answers[0]


def test_the_best_sibling_speaks_for_its_family() -> None:
    best = min(PLAYS, key=lambda cell: header(f"shakespeare.{cell}").figures["val_loss"])
    assert celloquy.load("shakespeare").cell_name == best


QUATRAIN = re.compile(r"\w{5}，\w{5}。\n\w{5}，\w{5}。|\w{7}，\w{7}。\n\w{7}，\w{7}。")


@pytest.mark.parametrize("cell", sorted(path.name.split(".")[1] for path in SHIPPED.glob("tang.*.safetensors")))
def test_the_poems_keep_their_form_by_themselves(cell: str) -> None:
    writer = celloquy.load("tang", cell=cell, temperature=0.8)
    texts = writer.continuations([Job("\n\n", number) for number in range(12)], 110, seed=1)
    poems = [poem for done in texts for poem in done.text.strip("\n").split("\n\n")[:-1]]
    assert len(poems) >= 24
    assert sum(bool(QUATRAIN.fullmatch(poem)) for poem in poems) / len(poems) > 0.75
    assert len(set(poems)) == len(poems)


def test_an_acrostic_is_valid_verse_and_spells_what_was_asked() -> None:
    poem = celloquy.load("tang", form="5,5/5,5", acrostic="春夏秋冬").generate("", 25, seed=1)
    assert QUATRAIN.fullmatch(poem)
    assert [clause[0] for clause in re.split("[，。]\n?", poem)[:4]] == ["春", "夏", "秋", "冬"]
