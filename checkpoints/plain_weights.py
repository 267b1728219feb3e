"""Weights as the state dictionary of ``nn.Embedding + nn.RNN/LSTM/GRU + nn.Linear``: from such tensors, and to them.

The equations are the same; what differs is that torch keeps two biases a gate where one would do. The two are added,
except for the GRU's candidate, whose second bias acts inside the reset gate's reach (``p.n`` here).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.gru import GRU
from cells.lstm import LSTM
from cells.model import LanguageModel
from cells.rnn import RNN
from checkpoints.loading import MOST_LAYERS
from checkpoints.shown import shown

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of rows in the matrices of each architecture: how one is told from another."""

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)_l\d+")


@dataclass(frozen=True)
class PlainWeights:
    """Embedding [V, E], recurrent tensors by torch's own names (``weight_ih_l0``), readout [V, H] and its bias [V]."""

    embedding: Tensor
    recurrent: Mapping[str, Tensor]
    readout: Tensor
    bias: Tensor
    arch: str
    layers: int

    @property
    def hidden_size(self) -> int:
        """The units in each layer."""
        return self.recurrent["weight_hh_l0"].shape[1]


def find_weights(tensors: Mapping[str, Tensor], arch: str = "auto") -> PlainWeights:
    """Which tensor is what, by torch's names and by shape; ``arch`` is rnn, lstm, gru or auto.

    Raises CelloquyError for anything that is not such a model: another layer in it, two directions, projections, wrong
    shapes.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CelloquyError(f"tensor {shown(name)} does not hold real numbers")
    prefix = _recurrent_prefix(tensors)
    inside = {name: name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    recurrent = {short: tensors[name] for name, short in inside.items() if _RECURRENT.match(short)}
    rest = {name: value for name, value in tensors.items() if inside.get(name) not in recurrent}
    found = _architecture(recurrent, arch)
    layers = _check_recurrent(recurrent, found)
    embedding, readout, bias = _ends(rest, recurrent)
    return PlainWeights(embedding, recurrent, readout, bias, found, layers)


def _recurrent_prefix(tensors: Mapping[str, Tensor]) -> str:
    starts = [name.removesuffix("weight_ih_l0") for name in tensors if name.endswith("weight_ih_l0")]
    if len(starts) != 1:
        what = "no recurrent layer" if not starts else "several recurrent modules"
        raise CelloquyError(f"the file has {what}: one nn.RNN, nn.LSTM or nn.GRU is wanted (its weight_ih_l0)")
    return starts[0]


def _architecture(recurrent: Mapping[str, Tensor], arch: str) -> str:
    first, hidden = recurrent["weight_ih_l0"], recurrent.get("weight_hh_l0")
    if first.dim() != 2 or hidden is None or hidden.dim() != 2 or not first.shape[1] or not hidden.shape[1]:
        raise CelloquyError("the recurrent matrices weight_ih_l0 and weight_hh_l0 are not two matrices")
    gates = hidden.shape[0] / hidden.shape[1]
    found = next((name for name, count in GATES.items() if count == gates), None)
    if found is None:
        raise CelloquyError(f"weight_hh_l0 is {list(hidden.shape)}, which neither nn.RNN, nn.GRU nor nn.LSTM has")
    if arch not in ("auto", found):
        raise CelloquyError(f"the file holds an {found.upper()} (weight_hh_l0 is {list(hidden.shape)}), not: {arch}")
    return found


def _check_recurrent(recurrent: Mapping[str, Tensor], arch: str) -> int:
    """The number of layers, when every tensor is there in its right shape."""
    rows, hidden = recurrent["weight_hh_l0"].shape
    layers = 0
    while f"weight_ih_l{layers}" in recurrent:
        layers += 1
    if layers > MOST_LAYERS:
        raise CelloquyError(f"the file has {layers} layers, and a checkpoint at most {MOST_LAYERS}")
    wanted: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        inputs = recurrent["weight_ih_l0"].shape[1] if layer == 0 else hidden
        wanted |= {f"weight_ih_l{layer}": (rows, inputs), f"weight_hh_l{layer}": (rows, hidden)}
        if f"bias_ih_l{layer}" in recurrent:
            wanted |= {f"bias_ih_l{layer}": (rows,), f"bias_hh_l{layer}": (rows,)}
    for name in sorted({*recurrent, *wanted}):
        if name not in wanted:
            advice = "two directions" if name.endswith("_reverse") else "a projection" if "_hr_" in name else "this"
            raise CelloquyError(f"the recurrent module has {shown(name)}: {advice} cannot be imported")
        if name not in recurrent or tuple(recurrent[name].shape) != wanted[name]:
            there = list(recurrent[name].shape) if name in recurrent else "missing"
            raise CelloquyError(f"{arch} tensor {name} is {there}, not {list(wanted[name])}")
    return layers


def _ends(rest: Mapping[str, Tensor], recurrent: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Embedding, readout and its bias: the readout is the matrix that has a bias of its own, or is named after it."""
    matrices = [name for name, value in rest.items() if value.dim() == 2]
    biases = [name for name, value in rest.items() if value.dim() == 1]
    strange = sorted(set(rest) - {*matrices, *biases})
    if strange or not 1 <= len(matrices) <= 2 or len(biases) > 1:
        names = ", ".join(shown(name) for name in (strange or sorted(rest))[:8]) or "nothing"
        raise CelloquyError(f"beside the recurrent module one embedding and one linear readout are wanted, not {names}")
    inputs, hidden = recurrent["weight_ih_l0"].shape[1], recurrent["weight_hh_l0"].shape[1]
    readout = _readout_name(matrices, biases, rest, inputs, hidden)
    (embedding,) = [name for name in matrices if name != readout] or [readout]  # tied: one matrix is both
    vocabulary = rest[embedding].shape[0]
    bias = rest[biases[0]] if biases else rest[readout].new_zeros(vocabulary)
    shapes = ((embedding, (vocabulary, inputs)), (readout, (vocabulary, hidden)))
    for name, wanted in shapes:
        if tuple(rest[name].shape) != wanted:
            raise CelloquyError(f"tensor {shown(name)} is {list(rest[name].shape)}, not {list(wanted)}")
    if tuple(bias.shape) != (vocabulary,):
        raise CelloquyError(f"tensor {shown(biases[0])} is {list(bias.shape)}, not {[vocabulary]}")
    return rest[embedding], rest[readout], bias


def _readout_name(matrices: list[str], biases: list[str], rest: Mapping[str, Tensor], inputs: int, hidden: int) -> str:
    if len(matrices) == 1:
        return matrices[0]
    if biases:
        with_bias = [name for name in matrices if name.rpartition(".")[0] == biases[0].rpartition(".")[0]]
        if len(with_bias) == 1:
            return with_bias[0]
    fitting = [name for name in matrices if rest[name].shape[1] == hidden]
    if inputs != hidden and len(fitting) == 1:
        return fitting[0]
    named = [name for name in matrices if "emb" not in name.lower() and "encoder" not in name.lower()]
    if len(named) == 1:
        return named[0]
    names = " and ".join(shown(name) for name in matrices)
    raise CelloquyError(f"which of {names} is the embedding cannot be told: name it embedding.weight")


# ---------------------------------------------------------------------- into a model, and out of one


@torch.no_grad()
def fill_model(model: LanguageModel, weights: PlainWeights) -> None:
    """Give a model of the right sizes these weights; the rows of the vocabulary must be in its order already."""
    model.embedding.weight.copy_(weights.embedding)
    model.readout.weight.copy_(weights.readout)
    model.readout.bias.copy_(weights.bias)
    for number, layer in enumerate(model.recurrent_layers):
        size = layer.hidden_size
        layer.W.copy_(weights.recurrent[f"weight_ih_l{number}"])
        layer.R["h"].copy_(weights.recurrent[f"weight_hh_l{number}"])
        first = weights.recurrent.get(f"bias_ih_l{number}", torch.zeros(len(layer.b)))
        second = weights.recurrent.get(f"bias_hh_l{number}", torch.zeros(len(layer.b)))
        if weights.arch == "gru":
            layer.b.copy_(torch.cat([first[: 2 * size] + second[: 2 * size], first[2 * size :]]))
            layer.p["n"].copy_(second[2 * size :])
        else:
            layer.b.copy_(first + second)


def state_dictionary(model: LanguageModel) -> dict[str, Tensor]:
    """The tensors of the same model in torch's modules: ``embedding``, ``rnn``, ``linear``.

    Raises CelloquyError for a model that these cannot be.
    """
    config = model.config
    arch = next((name for name, kind in CELLS.items() if type(model.cell) is kind), None)
    if arch is None:
        raise CelloquyError(f"its cell {model.cell.label} is none of nn.RNN, nn.LSTM and nn.GRU; --onnx can hold it")
    if config.labels:
        raise CelloquyError("labels steer it, whose vectors torch's modules have no place for")
    if config.norm != "none" or (config.residual and (config.num_layers > 1 or config.embedding == config.hidden_size)):
        raise CelloquyError("it has normalisation or residual layers, which torch's modules lack; --onnx can hold it")
    tensors = {"embedding.weight": model.embedding.weight}
    for number, layer in enumerate(model.recurrent_layers):
        second = torch.zeros_like(layer.b)
        if arch == "gru":
            second[2 * layer.hidden_size :] = layer.p["n"]
        tensors |= {
            f"rnn.weight_ih_l{number}": layer.W,
            f"rnn.weight_hh_l{number}": layer.R["h"],
            f"rnn.bias_ih_l{number}": layer.b,
            f"rnn.bias_hh_l{number}": second,
        }
    tensors |= {"linear.weight": model.readout.weight, "linear.bias": model.readout.bias}
    return {name: tensor.detach().float().clone() for name, tensor in tensors.items()}
