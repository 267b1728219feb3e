"""Small checkpoints with random weights: enough for everything but good prose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from cells.cell import Cell
from cells.gru import GRU
from cells.initialise import initialise
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from checkpoints.files import save_safetensors
from checkpoints.header import Header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer
from plugins.registry import set_default_registry
from repl.cli import cli
from repl.generator import Writer

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
ALPHABET = "\n !',.:;?ABCDEFGHIJKLMNOPRSTUVWYabcdefghijklmnopqrstuvwxyz你好"


def save_random(
    folder: Path,
    family: str,
    cell: str,
    tokenizer: Tokenizer | None = None,
    hidden: int = 64,
    seed: int = 0,
    val_loss: float = 2.0,
    **sizes: Any,
) -> Path:
    """A checkpoint whose logits differ enough that its text is neither uniform nor constant."""
    tokenizer = tokenizer or CharTokenizer(ALPHABET)
    config = ModelConfig(tokenizer.vocabulary_size, hidden, unknown_id=tokenizer.unknown_id, **sizes)
    made = CELLS[cell]()
    model = LanguageModel(made, config)
    initialise(model, "default", seed)
    with torch.no_grad():
        model.readout.weight.mul_(12)
        model.embedding.weight.mul_(2)
    header = Header(
        family,
        {"name": cell, "version": made.version, "options": made.options, "distribution": "celloquy"},
        config.to_json(),
        tokenizer.to_json(),
        figures={"val_loss": val_loss},
    )
    path = folder / f"{family}.{cell}.safetensors"
    save_safetensors(path, stored_tensors(model), header.dumps())
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the families ``tiny`` (characters) and ``bytes`` (bytes), of all three cells."""
    folder = tmp_path_factory.mktemp("home") / "checkpoints"
    folder.mkdir()
    for number, cell in enumerate(CELLS):
        save_random(folder, "tiny", cell, seed=number, val_loss=2.0 - number / 10)
        save_random(folder, "bytes", cell, ByteTokenizer(), seed=number)
    return folder


@pytest.fixture
def home(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names are found in ``folder``; the working folder is an empty one."""
    monkeypatch.setenv("CELLOQUY_HOME", str(folder.parent))
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def write(home: Path) -> Callable[..., Writer]:
    """``write("tiny", "gru", temperature=1.0)``: a writer on one of the checkpoints."""

    def make(name: str = "tiny", cell: str | None = "lstm", **sampling: Any) -> Writer:
        return Writer(load_checkpoint(name, cell), **sampling)

    return make


@pytest.fixture(scope="session")
def save() -> Callable[..., Path]:
    """:func:`save_random`, for tests that want a checkpoint of their own."""
    return save_random


@dataclass
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line of complaint."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def celloquy(home: Path) -> Iterator[Callable[..., Result]]:
    """``celloquy("generate", "tiny", input=b"To be")``: a command run in this process, its standard input a pipe."""

    def run(*arguments: str, input: bytes = b"") -> Result:
        set_default_registry(None)
        done = CliRunner().invoke(cli, arguments, input=input)
        return Result(done.exit_code, done.stdout_bytes.decode("utf-8", "surrogateescape"), done.stderr)

    yield run
    set_default_registry(None)
