"""docs/reproductions.md and docs/training.md: what prints their tables runs, shrunk."""

from __future__ import annotations

import contextlib
import importlib
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from checkpoints.options import TRAIN_OPTIONS
from repl.cli import cli

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
VERSE = "The quality of mercy is not strained,\nIt droppeth as the gentle rain from heaven\n" * 6
VERSE += "".join(f"{first}{second}{third}\n" for first in "bdfk" for second in "aeiou" for third in "lmnr")


def in_this_process(arguments: Sequence[str], prefix: Sequence[str] = ()) -> str:
    """What ``runs.celloquy`` does, without a start of torch for each call."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        cli.main([*arguments], standalone_mode=False)
    return out.getvalue()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function: a script under tests/benchmarks as a module, its calls of the program made in this process."""
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        monkeypatch.setattr(importlib.import_module("runs"), "celloquy", in_this_process)
        if hasattr(module, "celloquy"):
            monkeypatch.setattr(module, "celloquy", in_this_process)
        return module

    return load


def test_every_option_of_regularisation_is_on_the_page() -> None:
    for name in [
        "dropout-kind",
        "weight-dropout",
        "embedding-dropout",
        "activation-penalty",
        "temporal-penalty",
        "ema",
    ]:
        assert f"`--{name} " in TRAINING


@pytest.mark.parametrize("part", ["perplexity", "names", "cells", "temperature"])
def test_each_experiment_runs_shrunk_and_writes_its_table(
    script: Any, tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(VERSE, encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- table: {part} -->\n(as it was)\n<!-- end of table -->\nafter\n", encoding="utf-8")
    reproductions = script("reproductions")
    reproductions.PREFIXES = ("The", "It")
    reproductions.main([part, "--corpus", str(corpus), "--small", "--cells", "gru", "--write", str(page)])
    printed = capsys.readouterr().out
    assert printed.startswith("| cell |")
    assert "\n| gru |" in printed
    written = page.read_text(encoding="utf-8")
    assert printed.strip() in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "(as it was)" not in written


def test_a_finished_run_is_not_repeated(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(VERSE, encoding="utf-8")
    regularisation, runs = script("regularisation"), importlib.import_module("runs")
    arguments = ["--corpus", str(corpus), "--keep", str(tmp_path / "kept"), "--rows", "dropout", "--minutes", "0.003"]
    tiny = ["--", "--hidden", "8", "--batch", "4", "--bptt", "8", "--threads", "1"]
    regularisation.main([*arguments, *tiny])
    calls = []
    monkeypatch.setattr(runs, "celloquy", lambda *given: calls.append(given))
    regularisation.main([*arguments, *tiny])
    assert calls == []


def test_auto_recipe_and_defaults_stand_side_by_side(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.speed.SMALL", 8)
    monkeypatch.setattr("checkpoints.speed.LARGE", 16)
    corpus, page = tmp_path / "corpus.txt", tmp_path / "page.md"
    corpus.write_text(VERSE, encoding="utf-8")
    page.write_text("<!-- table: auto recipe -->\n<!-- end of table -->\n", encoding="utf-8")
    assert "<!-- table: auto recipe -->" in TRAINING
    arguments = ["--corpora", str(corpus), "--write", str(page), "--keep", str(tmp_path / "kept"), "--minutes", "0.003"]
    script("auto_recipe").main([*arguments, "--", "--hidden", "8", "--batch", "4", "--bptt", "8", "--threads", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[2] for line in lines[2:]] == ["defaults", "auto"] * 2
    assert lines[2].startswith("| corpus, first 100 KB | lstm | defaults | 8 x 1, dropout 0, bptt 8 |")
    assert page.read_text(encoding="utf-8").splitlines()[1:-1] == lines


@pytest.mark.parametrize("name", ["reproductions", "regularisation"])
def test_every_option_string_of_the_scripts_is_one_of_train(script: Any, name: str) -> None:
    module = script(name)
    texts = [getattr(module, key) for key in ("BASE", "PERPLEXITY", "NAMES", "TINY") if hasattr(module, key)]
    texts += [*getattr(module, "ROWS", {}).values(), *getattr(module, "OPTIMIZERS", {}).values()]
    for text in texts:
        words = shlex.split(text)
        values = {
            key[2:]: TRAIN_OPTIONS[key[2:]].parse(value) for key, value in zip(words[::2], words[1::2], strict=True)
        }
        TRAIN_OPTIONS.validate(values)


def test_a_model_that_never_finds_into_a_text_is_counted_as_lost(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beginnings = script("beginnings")
    found = torch.full((600, 8), 2.0)
    found[:, 3] = 10.0
    found[:50, 5] = 10.0
    assert beginnings.judged(found) == ["1 of 8", "4.00", "2.00"]
    text = tmp_path / "unseen.txt"
    text.write_text(VERSE * 20, encoding="utf-8")
    options = ["--name", "x", "--cell", "gru", "--hidden", "8", "--steps", "2", "--out", str(tmp_path)]
    in_this_process(["train", str(text), *options])
    checkpoint = tmp_path / "x.gru.safetensors"
    beginnings.main([str(text), str(checkpoint)])
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith(f"| {checkpoint} | 0 of 256 | ")
