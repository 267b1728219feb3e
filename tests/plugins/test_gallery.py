"""The gallery: each cell computes its paper's equations, is short, and works wherever the built-in cells do."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cells.model import LanguageModel, ModelConfig
from checkpoints.files import save_safetensors
from checkpoints.header import Header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import CharTokenizer
from plugins.gallery import CELLS
from plugins.kernels import random_case
from plugins.registry import load_plugins
from repl.generator import Writer

Array = NDArray[np.float64]
NAMES = [name for name, _, _ in CELLS]
REGISTRY = load_plugins()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class Parameters:
    """The parameters of a layer by the names of the paper: ``W("i", x)`` is W_i x + b_i, ``R("h", "i", h)`` R_i h."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.H = layer.hidden_size

    def _gate(self, tensor: torch.Tensor, gates: tuple[str, ...], gate: str) -> Array:
        start = gates.index(gate) * self.H
        return tensor.detach().numpy()[start : start + self.H]

    def W(self, gate: str, x: Array) -> Array:
        layer = self.layer
        return x @ self._gate(layer.W, layer.gates, gate).T + self._gate(layer.b, layer.gates, gate)

    def R(self, name: str, gate: str, h: Array) -> Array:
        return h @ self._gate(self.layer.R[name], self.layer.recurrent_gates[name], gate).T

    def z(self, gate: str, x: Array, h: Array) -> Array:
        """W x + R h + b of one gate, for the cells with one matrix on h."""
        return self.W(gate, x) + self.R("h", gate, h)

    def p(self, name: str) -> Array:
        vector: Array = self.layer.p[name].detach().numpy()
        return vector


State = dict[str, Array]


def peephole_lstm(q: Parameters, x: Array, s: State) -> State:
    i = sigmoid(q.z("i", x, s["h"]) + q.p("i") * s["c"])
    f = sigmoid(q.z("f", x, s["h"]) + q.p("f") * s["c"])
    c = f * s["c"] + i * np.tanh(q.z("g", x, s["h"]))
    o = sigmoid(q.z("o", x, s["h"]) + q.p("o") * c)
    return {"h": o * np.tanh(c), "c": c}


def coupled_lstm(q: Parameters, x: Array, s: State) -> State:
    f = sigmoid(q.z("f", x, s["h"]))
    c = f * s["c"] + (1 - f) * np.tanh(q.z("g", x, s["h"]))
    return {"h": sigmoid(q.z("o", x, s["h"])) * np.tanh(c), "c": c}


def multiplicative_lstm(q: Parameters, x: Array, s: State) -> State:
    m = q.W("m", x) * q.R("h", "m", s["h"])
    i, f, o = (sigmoid(q.W(gate, x) + q.R("m", gate, m)) for gate in "ifo")
    c = f * s["c"] + i * np.tanh(q.W("g", x) + q.R("m", "g", m))
    return {"h": o * np.tanh(c), "c": c}


def slstm(q: Parameters, x: Array, s: State) -> State:
    """Without the stabiliser, whose only work is to keep these numbers small: c and n scaled back by exp(m)."""
    i, f = np.exp(q.z("i", x, s["h"])), sigmoid(q.z("f", x, s["h"]))
    scale = np.exp(s["m"])
    c = f * s["c"] * scale + i * np.tanh(q.z("g", x, s["h"]))
    n = f * s["n"] * scale + i
    m = np.maximum(np.log(f) + s["m"], np.log(i))
    return {"h": sigmoid(q.z("o", x, s["h"])) * c / n, "c": c / np.exp(m), "n": n / np.exp(m), "m": m}


def minlstm(q: Parameters, x: Array, s: State) -> State:
    f, i = sigmoid(q.W("f", x)), sigmoid(q.W("i", x))
    return {"h": f / (f + i) * s["h"] + i / (f + i) * q.W("h", x)}


def janet(q: Parameters, x: Array, s: State) -> State:
    z = q.z("f", x, s["h"])
    return {"h": sigmoid(z) * s["h"] + (1 - sigmoid(z - 1)) * np.tanh(q.z("g", x, s["h"]))}


def cho_gru(q: Parameters, x: Array, s: State) -> State:
    r, z = (sigmoid(q.W(gate, x) + q.R("gates", gate, s["h"])) for gate in "rz")
    n = np.tanh(q.W("n", x) + q.R("candidate", "n", r * s["h"]))
    return {"h": z * s["h"] + (1 - z) * n}


def mgu(q: Parameters, x: Array, s: State) -> State:
    f = sigmoid(q.W("f", x) + q.R("gate", "f", s["h"]))
    n = np.tanh(q.W("n", x) + q.R("candidate", "n", f * s["h"]))
    return {"h": (1 - f) * s["h"] + f * n}


def mingru(q: Parameters, x: Array, s: State) -> State:
    z = sigmoid(q.W("z", x))
    return {"h": (1 - z) * s["h"] + z * q.W("h", x)}


def ugrnn(q: Parameters, x: Array, s: State) -> State:
    g = sigmoid(q.z("g", x, s["h"]))
    return {"h": g * s["h"] + (1 - g) * np.tanh(q.z("c", x, s["h"]))}


def sru(q: Parameters, x: Array, s: State) -> State:
    f = sigmoid(q.W("f", x) + q.p("f") * s["c"])
    r = sigmoid(q.W("r", x) + q.p("r") * s["c"])
    c = f * s["c"] + (1 - f) * q.W("c", x)
    return {"h": r * c + (1 - r) * q.W("s", x), "c": c}


def indrnn(q: Parameters, x: Array, s: State) -> State:
    return {"h": np.maximum(q.W("h", x) + np.clip(q.p("u"), -1, 1) * s["h"], 0)}


def leaky_rnn(q: Parameters, x: Array, s: State) -> State:
    return {"h": 0.5 * s["h"] + 0.5 * np.tanh(q.z("h", x, s["h"]))}


EQUATIONS: dict[str, Callable[[Parameters, Array, State], State]] = {
    name: globals()[name.replace("-", "_")] for name in NAMES
}


@pytest.mark.parametrize("name", NAMES)
def test_cell_computes_the_equations_of_its_paper(name: str) -> None:
    case = random_case(REGISTRY.create_cell(name), length=5, batch=3, inputs=4, hidden=6)
    state = {key: value.numpy() for key, value in case.state.items()}
    outputs = []
    for x in case.x.numpy():
        state = EQUATIONS[name](Parameters(case.layer), x, state)
        outputs.append(state["h"])
    with torch.no_grad():
        y, final = case.layer(case.x, case.state)
    np.testing.assert_allclose(y.numpy(), np.stack(outputs), atol=1e-12)
    for key, value in final.items():
        np.testing.assert_allclose(value.numpy(), state[key], atol=1e-12)


def test_slstm_keeps_nothing_of_the_time_before_its_first_step() -> None:
    layer = random_case(REGISTRY.create_cell("slstm")).layer
    x = torch.randn(1, 2, layer.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, final = layer(x)
    assert torch.equal(final["n"], torch.ones_like(final["n"]))
    assert bool(final["m"].isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_cell_is_short_and_says_where_it_comes_from(name: str) -> None:
    cls = REGISTRY.cell_class(name)
    lines = inspect.getsource(cls).splitlines()
    tree = ast.parse("\n".join(lines))
    docstring = ast.get_docstring(tree.body[0]) or ""  # type: ignore[arg-type]
    code = len([line for line in lines if line.strip()]) - len(
        [line for line in docstring.splitlines() if line.strip()]
    )
    assert code <= 25
    assert re.search(r"\b(19|20)\d\d\b", docstring)
    assert "h' = " in docstring


def test_gallery_holds_the_cells_it_promises() -> None:
    assert len(NAMES) == len(set(NAMES)) == 13
    assert set(NAMES) <= set(REGISTRY.cells)
    assert {entry.distribution for entry in REGISTRY.cells.values()} == {"celloquy"}


def save(folder: Path, name: str, tokenizer: CharTokenizer) -> Path:
    cell = REGISTRY.create_cell(name)
    config = ModelConfig(tokenizer.vocabulary_size, 12, num_layers=2, unknown_id=tokenizer.unknown_id)
    torch.manual_seed(0)
    described = {"name": name, "version": cell.version, "options": cell.options, "distribution": "celloquy"}
    header = Header("g", described, config.to_json(), tokenizer.to_json(), figures={"val_loss": 2.0})
    path = folder / f"g.{name}.safetensors"
    save_safetensors(path, stored_tensors(LanguageModel(cell, config)), header.dumps())
    return path


def test_text_goes_on_through_every_cell_of_the_gallery_in_turn(tmp_path: Path) -> None:
    tokenizer = CharTokenizer("\n abcdefgh")
    paths = {name: save(tmp_path, name, tokenizer) for name in ["lstm", *NAMES]}
    writer = Writer(load_checkpoint(paths["lstm"]), seed=1)
    text = "abc" + "".join(writer.stream("abc", length=5))
    for name in NAMES:
        writer.swap(name)
        text += "".join(writer.stream("", length=5))
        assert (writer.cell_name, writer.transcript) == (name, text)


@pytest.mark.parametrize("name", NAMES)
def test_snapshot_of_every_cell_goes_on_to_the_same_text(tmp_path: Path, name: str) -> None:
    writer = Writer(load_checkpoint(save(tmp_path, name, CharTokenizer("\n abcdefgh"))), seed=3)
    writer.feed("abc")
    before = writer.snapshot()
    first = "".join(writer.stream("", length=20))
    writer.restore(before)
    assert "".join(writer.stream("", length=20)) == first
