"""Checks of what is kept: a state continues to the bit after saving, and a checkpoint holds all there is to a cell."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load, save
from torch import Tensor

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.layer import Layer
from cells.model import LanguageModel, ModelConfig
from cells.state import state_from_tensors, state_tensors
from plugins.conformance.sequence import CUT
from plugins.conformance.subject import Subject


def saved_state_continues(subject: Subject) -> None:
    """A state that was written to a file and read again continues the text to the bit."""
    case = subject.case()
    with torch.no_grad():
        _, state = subject.run(case, case.x[:CUT])
        tensors = {name: value.contiguous() for name, value in state_tensors([state]).items()}
        restored = state_from_tensors(load(save(tensors)))[0]
        expected = subject.run(case, case.x[CUT:], state)
        found = subject.run(case, case.x[CUT:], restored)
    _same_bits(found[0], expected[0], "outputs")
    for name, value in expected[1].items():
        _same_bits(found[1][name], value, f"state {name}")


def _same_bits(found: Tensor, expected: Tensor, what: str) -> None:
    if not torch.equal(found, expected):
        raise CelloquyError(f"after saving and loading the state, the {what} are not the same to the bit")


def checkpoint_round_trip(subject: Subject) -> None:
    """A cell made again from its options as JSON, with the saved tensors, computes the same."""
    cell = subject.cell
    again = _made_again(cell)
    config = ModelConfig(vocabulary_size=7, hidden_size=6, num_layers=2)
    tokens = torch.arange(20).reshape(10, 2) % 7
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(11)
        model = LanguageModel(cell, config, kernels=None)
        other = LanguageModel(again, ModelConfig.from_json(json.loads(json.dumps(config.to_json()))), kernels=None)
        other.load_state_dict(load(save({name: t.contiguous() for name, t in model.state_dict().items()})))
        expected, _ = model(tokens)
        found, _ = other(tokens)
    if not torch.equal(found, expected):
        raise CelloquyError(
            "a cell made again from its options computes something else: something in __init__ is neither an option "
            "nor a declaration"
        )


def _made_again(cell: Cell) -> Cell:
    try:
        options = json.loads(json.dumps(cell.options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise CelloquyError(f"the options {cell.options} cannot be written as JSON") from error
    again: Cell = type(cell)(**options)
    one, other = (Layer(c, 2, 3).state_dict() for c in (cell, again))
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        raise CelloquyError("a cell made again from its options has other parameters")
    return again
