"""``celloquy import`` and ``celloquy export``: state dictionaries of torch's own modules, as safetensors. No pickle."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import torch
from torch import Tensor

from cells.errors import CelloquyError
from cells.model import LanguageModel, ModelConfig
from checkpoints.files import load_tensors, make_folder, save_safetensors, write_atomic
from checkpoints.finding import SUFFIX
from checkpoints.header import Header
from checkpoints.loading import Loaded, stored_tensors
from checkpoints.options import check_name
from checkpoints.plain_weights import CELLS, PlainWeights, fill_model, find_weights, state_dictionary
from checkpoints.shown import plain
from checkpoints.vocabulary import Vocabulary, exported, read_vocabulary
from plugins.sources import own_version

NEVER = -1e4
"""The logit of an unknown token that the imported model did not have: a probability of exactly 0."""

PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
HOW_TO_CONVERT = (
    'a pickle can run code, so it is never read here; where you trust it: python -c "from torch import load; '
    "from safetensors.torch import save_file; d = load('{name}', weights_only=True); "
    "save_file({{k: v.clone() for k, v in d.items()}}, '{stem}.safetensors')\""
)


def import_weights(
    file: Path,
    vocabulary: str,
    name: str,
    out: Path = Path("checkpoints"),
    arch: str = "auto",
    activation: str = "tanh",
) -> Path:
    """Make a checkpoint of a state dictionary in a safetensors file; returns the checkpoint's path.

    ``activation`` is that of an nn.RNN, which its weights do not tell. Raises CelloquyError, one line.
    """
    check_name(name, "name")
    if file.suffix in PICKLED:
        # A stranger's file name may hold quotes: it would be code in a line that people copy.
        stem = file.stem if re.fullmatch(r"[A-Za-z0-9_-]+", file.stem) else "model"
        raise CelloquyError(f"{file}: {HOW_TO_CONVERT.format(name=stem + file.suffix, stem=stem)}")
    if not file.is_file():
        raise CelloquyError(f"there is no file {file}")
    try:
        weights = find_weights(load_tensors(file), arch)
        known = read_vocabulary(vocabulary)
        model = _model(weights, known, activation)
    except CelloquyError as error:
        message = str(error)
        raise CelloquyError(message if str(file) in message else f"{file}: {plain(message)}") from error
    path = out / f"{name}.{weights.arch}{SUFFIX}"
    if path.exists():
        raise CelloquyError(f"{path} exists: give another --name, or another folder by --out")
    make_folder(out)
    save_safetensors(path, stored_tensors(model), _header(name, weights.arch, model, known).dumps())
    return path


def _model(weights: PlainWeights, vocabulary: Vocabulary, activation: str) -> LanguageModel:
    count = weights.embedding.shape[0]
    if count != vocabulary.size:
        raise CelloquyError(f"the model has {count} tokens, and the vocabulary {vocabulary.size}")
    tokenizer = vocabulary.tokenizer
    config = ModelConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        hidden_size=weights.hidden_size,
        num_layers=weights.layers,
        embedding_size=weights.embedding.shape[1],
        unknown_id=tokenizer.unknown_id,
    )
    cell = CELLS[weights.arch](activation) if weights.arch == "rnn" else CELLS[weights.arch]()
    model = LanguageModel(cell, config)
    rows = vocabulary.rows
    ordered = PlainWeights(
        _rows(weights.embedding, rows, 0.0),
        weights.recurrent,
        _rows(weights.readout, rows, 0.0),
        _rows(weights.bias, rows, NEVER),
        weights.arch,
        weights.layers,
    )
    fill_model(model, ordered)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise CelloquyError("the weights hold a value that is not a finite number")
    return model


def _rows(tensor: Tensor, rows: tuple[int | None, ...], missing: float) -> Tensor:
    """The rows of ``tensor`` in another order; ``missing`` fills one that it does not have."""
    taken = tensor.float()[[0 if row is None else row for row in rows]]
    for number, row in enumerate(rows):
        if row is None:
            taken[number] = missing
    return taken


def _header(name: str, arch: str, model: LanguageModel, vocabulary: Vocabulary) -> Header:
    version = own_version()
    return Header(
        family=name,
        cell={
            "name": arch,
            "version": model.cell.version,
            "options": model.cell.options,
            "distribution": "celloquy",
            "distribution_version": version,
        },
        model=model.config.to_json(),
        tokenizer=vocabulary.tokenizer.to_json(),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        celloquy=version,
    )


def export_weights(loaded: Loaded, folder: Path) -> tuple[Path, Path]:
    """Write the state dictionary and the vocabulary of a checkpoint into a folder; returns the two paths."""
    from safetensors.torch import save

    try:
        tensors = state_dictionary(loaded.model)
    except CelloquyError as error:
        raise CelloquyError(f"{loaded.name} cannot be a state dictionary: {error}") from error
    make_folder(folder)
    weights = folder / f"{loaded.name}.weights{SUFFIX}"
    write_atomic(weights, save(tensors, metadata={"format": "pt"}))
    return weights, write_vocabulary(loaded, folder)


def write_vocabulary(loaded: Loaded, folder: Path) -> Path:
    """Write the vocabulary of a checkpoint beside what was exported; returns its path."""
    path = folder / f"{loaded.name}.vocabulary.json"
    make_folder(folder)
    write_atomic(path, (json.dumps(exported(loaded.tokenizer), ensure_ascii=False) + "\n").encode("utf-8"))
    return path
