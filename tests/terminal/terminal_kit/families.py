"""Families of tiny checkpoints with random weights: enough for everything but good prose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cells.cell import Cell
from cells.classifier import ClassifierConfig, TextClassifier
from cells.gru import GRU
from cells.initialise import initialise
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from cells.rnn import RNN
from checkpoints.files import save_safetensors
from checkpoints.header import CLASSIFY, Header
from checkpoints.loading import stored_tensors
from checkpoints.tokenizers import CharTokenizer, Tokenizer

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
LETTERS = "\n !',.:;?ABCDEFGHIJKLMNOPRSTUVWYabcdefghijklmnopqrstuvwxyz"
CHINESE = "春江花月夜白日依山盡黃河入海流，。\n"
HOSTILE = "\n abc\x1b[2J]52;c\x07\r\x08\x7f\x9b\u202e\u0301\u200b😀é"


def save_cell(
    folder: Path,
    family: str,
    cell: Cell,
    name: str,
    tokenizer: Tokenizer,
    *,
    hidden: int = 16,
    layers: int = 1,
    seed: int = 0,
    template: dict[str, Any] | None = None,
    distribution: str = "celloquy",
    labels: Sequence[str] = (),
) -> Path:
    """A checkpoint whose logits differ enough that its text is neither uniform nor constant."""
    steered = {"labels": len(labels), "label_size": 4} if labels else {}
    config = ModelConfig(tokenizer.vocabulary_size, hidden, layers, unknown_id=tokenizer.unknown_id, **steered)
    model = LanguageModel(cell, config)
    initialise(model, "default", seed)
    with torch.no_grad():
        model.readout.weight.mul_(8)
        model.embedding.weight.mul_(2)
    described = {"name": name, "version": cell.version, "options": cell.options, "distribution": distribution}
    header = Header(
        family,
        described,
        config.to_json(),
        tokenizer.to_json(),
        figures={"val_loss": 2.0 + seed / 10},
        template=template,
        labels={"names": list(labels), "counts": [1] * len(labels)} if labels else {},
    )
    path = folder / f"{family}.{name}.safetensors"
    save_safetensors(path, stored_tensors(model), header.dumps())
    return path


def save_family(folder: Path, family: str, characters: str, **more: Any) -> None:
    """One checkpoint for each of the three cells; the LSTM has the best validation loss."""
    for seed, cell in enumerate(("lstm", "gru", "rnn")):
        save_cell(folder, family, CELLS[cell](), cell, CharTokenizer(characters), seed=seed, **more)


def save_classifier(folder: Path, family: str, labels: list[str], characters: str = LETTERS) -> Path:
    """A classifier by an LSTM, whose random weights have opinions that differ."""
    tokenizer = CharTokenizer(characters)
    sizes = ClassifierConfig(tokenizer.vocabulary_size, len(labels), 16, unknown_id=tokenizer.unknown_id)
    model = TextClassifier(LSTM(), sizes)
    initialise(model, "default", 0)
    with torch.no_grad():
        model.readout.weight.mul_(20)
        model.embedding.weight.mul_(2)
    header = Header(
        family,
        {"name": "lstm", "version": LSTM.version, "options": {}, "distribution": "celloquy"},
        sizes.to_json(),
        tokenizer.to_json(),
        figures={"val_loss": 0.5},
        task=CLASSIFY,
        labels={"names": labels, "counts": [1] * len(labels)},
    )
    path = folder / f"{family}.lstm.safetensors"
    save_safetensors(path, stored_tensors(model), header.dumps())
    return path
