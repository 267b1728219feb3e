"""docs/reproductions.md and docs/training.md: their commands parse, and what prints their tables runs, shrunk."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from checkpoints.options import TRAIN_OPTIONS
from checkpoints.train import plan
from repl.cli import COMMANDS, cli
from repl.click_options import given

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("reproductions.md", "training.md")}
COMMAND = re.compile(r"^(?:torchrun .*--module )?(celloquy .*)$", re.MULTILINE)
COMMAND_LINES = [line for page in PAGES.values() for line in COMMAND.findall(page)]
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


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_of_the_pages_parses(line: str) -> None:
    name, *words = shlex.split(line, comments=True)[1:]
    assert name in COMMANDS
    top = cli.make_context("celloquy", [name, "--help"], resilient_parsing=True)
    command = cli.get_command(top, name)
    assert command is not None
    context = command.make_context(name, words, parent=top)
    if name == "train":
        assert plan({"name": "x", **given(TRAIN_OPTIONS, context.params)})


def test_the_pages_show_commands() -> None:
    assert len(COMMAND_LINES) >= 5
    assert any("--recipe tinyshakespeare" in line for line in COMMAND_LINES)


def test_every_option_of_regularisation_is_on_the_page() -> None:
    for name in [
        "dropout-kind",
        "weight-dropout",
        "embedding-dropout",
        "activation-penalty",
        "temporal-penalty",
        "ema",
    ]:
        assert f"`--{name} " in PAGES["training.md"]


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
