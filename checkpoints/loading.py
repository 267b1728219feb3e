"""From a checkpoint file to a model that can speak. Only a registered cell of all it names is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from cells.model import LanguageModel, ModelConfig, RecurrentModel
from checkpoints.card import card
from checkpoints.files import load_tensors
from checkpoints.finding import find
from checkpoints.header import CLASSIFY, Header, read_header
from checkpoints.shown import plain
from checkpoints.tokenizers import Tokenizer, tokenizer_from_json

if TYPE_CHECKING:
    from cells.classifier import ClassifierConfig
    from plugins.registry import Registry

Model = TypeVar("Model", bound=RecurrentModel)

MOST_LAYERS = 256
"""What ``celloquy train`` can make; a file that speaks of more would take long to refuse."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory; the model is in evaluation mode, its parameters float32."""

    path: Path
    header: Header
    tokenizer: Tokenizer
    cell: Cell
    model: LanguageModel

    @property
    def name(self) -> str:
        """``family.cell``, as the file is named."""
        return self.path.name.removesuffix(".safetensors")

    def _repr_html_(self) -> str:
        """The checkpoint's card: what a notebook shows."""
        return card(self.path, self.header)


def load_checkpoint(
    name: str | Path, cell: str | None = None, registry: Registry | None = None, device: str | torch.device = "cpu"
) -> Loaded:
    """Load a checkpoint by name or path.

    Raises CelloquyError if there is none, if it is damaged, if its cell is not installed (naming the distribution
    that provided it), or if the cell's equations have another version now.
    """
    path = find(str(name), cell)
    header = read_header(path)
    if header.task == CLASSIFY:
        classifier = path.name.removesuffix(".safetensors")
        raise CelloquyError(f"{classifier} tells the labels of texts and writes none; celloquy classify uses it")
    tokenizer, model = load_model(path, header, ModelConfig.from_json, LanguageModel, registry, device)
    return Loaded(path, header, tokenizer, model.cell, model)


def load_model(
    path: Path,
    header: Header,
    sizes: Callable[[Mapping[str, Any]], ModelConfig | ClassifierConfig],
    kind: Callable[..., Model],
    registry: Registry | None,
    device: str | torch.device,
) -> tuple[Tokenizer, Model]:
    """The tokenizer and the model in a file, a ``kind`` of model of the ``sizes`` in its header, to be read from.

    Raises CelloquyError as :func:`load_checkpoint` does.
    """
    own = _the_registry(registry)
    try:
        tokenizer = tokenizer_from_json(header.tokenizer)
        config = sizes(header.model)
        _check_config(config, header, tokenizer)
        cell = _make_cell(header, own)
        _check_shapes(header, config.num_layers, lambda: kind(cell, config, kernels=None))
        model = kind(cell, config, kernels=own.kernel_finder())
        model.notice = lambda message: own.notice(message)  # a bound method would take the registry along in a copy
    except CelloquyError as error:
        raise CelloquyError(f"{path}: {plain(str(error))}") from error
    _fill(model, load_tensors(path), path)
    model.requires_grad_(False)
    return tokenizer, model.to(device).eval()


def _the_registry(registry: Registry | None) -> Registry:
    """The registry that was given, or that of the process."""
    if registry is not None:
        return registry
    from plugins.registry import default_registry

    return default_registry()


def _check_config(config: ModelConfig | ClassifierConfig, header: Header, tokenizer: Tokenizer) -> None:
    if config.labels != len(header.label_names):
        raise CelloquyError(f"damaged: its model has {config.labels} labels, its header {len(header.label_names)}")
    if config.vocabulary_size != tokenizer.vocabulary_size or config.unknown_id != tokenizer.unknown_id:
        raise CelloquyError(
            f"damaged: its model has {config.vocabulary_size} tokens, its vocabulary {tokenizer.vocabulary_size}"
        )


def _make_cell(header: Header, registry: Registry) -> Cell:
    """The cell that a checkpoint was trained with, from the registry; CelloquyError if there is no such cell."""
    name, version = header.cell_name, header.cell["version"]
    provider = " ".join(str(header.cell.get(key, "")) for key in ("distribution", "distribution_version")).strip()
    if name not in registry.cells:
        source = f"was provided by {provider}: install that" if provider else "is not installed: load its plugin"
        raise CelloquyError(f"its cell {name!r} {source}, or give --plugin FILE.py")
    try:
        cell = registry.create_cell(name, header.cell["options"])
    except UsageError as error:
        raise CelloquyError(str(error)) from error
    if cell.version != version:
        advice = f"it came with {provider}" if provider else "it came from another version of its plugin"
        raise CelloquyError(f"its cell {name!r} had version {version}, and the one here has {cell.version}; {advice}")
    return cell


def _check_shapes(header: Header, layers: int, make: Callable[[], nn.Module]) -> None:
    """Refuse sizes that the file's own tensors contradict, before memory is taken for what ``make`` makes of them."""
    if layers > min(MOST_LAYERS, len(header.tensors)):
        raise CelloquyError(f"damaged: {layers} layers in {len(header.tensors)} tensors")
    with torch.device("meta"):
        expected = stored_tensors(make())
    for name in sorted(expected.keys() | header.tensors.keys()):
        if name not in header.tensors:
            raise CelloquyError(f"damaged: tensor {name!r} is missing")
        if name not in expected:
            raise CelloquyError(f"damaged: tensor {name!r} belongs to no part of the model")
        shape, wanted = header.tensors[name].shape, tuple(expected[name].shape)
        if shape != wanted:
            raise CelloquyError(f"damaged: tensor {name!r} is {list(shape)}, not {list(wanted)}")
        if header.tensors[name].dtype not in ("F32", "BF16", "F16", "F64"):
            raise CelloquyError(f"damaged: tensor {name!r} does not hold real numbers")


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a checkpoint of this model holds: every parameter once, tied ones under the first name."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@torch.no_grad()
def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give every parameter its tensor; CelloquyError if one holds what is not a finite number."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(tensors[name]).all()):
            raise CelloquyError(f"{path}: damaged: tensor {name!r} holds a value that is not a finite number")
        parameter.copy_(tensors[name])
