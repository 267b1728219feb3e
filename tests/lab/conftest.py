"""Small checkpoints of any registered cell, with random weights."""

from __future__ import annotations

import pytest
import torch

from cells.initialise import initialise
from cells.model import LanguageModel, ModelConfig
from checkpoints.files import save_safetensors
from checkpoints.header import Header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import ByteTokenizer, CharTokenizer
from plugins.registry import load_plugins, set_default_registry

ALPHABET = "\n !\"',.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz你好"


@pytest.fixture(scope="session")
def registry():
    return load_plugins()


@pytest.fixture(scope="session")
def save(tmp_path_factory, registry):
    """A function that writes a random checkpoint and returns its path."""
    shared = tmp_path_factory.mktemp("checkpoints")

    def make(cell, family="lab", folder=None, tokenizer=None, seed=0, hidden=12, **sizes):
        tokenizer = tokenizer or CharTokenizer(ALPHABET)
        config = ModelConfig(tokenizer.vocabulary_size, hidden, unknown_id=tokenizer.unknown_id, **sizes)
        made = registry.create_cell(cell)
        model = LanguageModel(made, config)
        initialise(model, "default", seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        described = {"name": cell, "version": made.version, "options": made.options, "distribution": "celloquy"}
        header = Header(family, described, config.to_json(), tokenizer.to_json(), figures={"val_loss": 2.0})
        path = (folder or shared) / f"{family}.{cell}.safetensors"
        save_safetensors(path, stored_tensors(model), header.dumps())
        return path

    return make


@pytest.fixture(scope="session")
def loaded(save, registry):
    """A function that gives a loaded random checkpoint of a cell."""
    cache = {}

    def get(cell, **options):
        key = (cell, tuple(sorted(options.items())))
        if key not in cache:
            tokenizer = ByteTokenizer() if options.pop("bytes", False) else None
            family = f"f{len(cache)}"
            cache[key] = load_checkpoint(save(cell, family, tokenizer=tokenizer, **options), registry=registry)
        return cache[key]

    return get


@pytest.fixture
def home(tmp_path, monkeypatch, save):
    """A working folder in which the family ``tiny`` (rnn, lstm, gru) is found by name."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for cell in ("rnn", "lstm", "gru"):
        save(cell, "tiny", folder)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    set_default_registry(None)
