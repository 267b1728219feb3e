"""ONNX: onnxruntime runs the exported step to the logits that the decoder gives, for built-in and strangers' cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from cells.cell import Cell
from cells.errors import CelloquyError
from cells.initialise import initialise
from cells.model import LanguageModel, ModelConfig
from checkpoints.finding import SHIPPED
from checkpoints.header import Header
from checkpoints.loading import Loaded, load_checkpoint
from checkpoints.onnx_file import export_onnx
from checkpoints.tokenizers import CharTokenizer
from plugins.registry import default_registry

onnx = pytest.importorskip("onnx", reason="pip install -e '.[test]' brings it")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[test]' brings it")

TEXT = "to be, or not to be"
REGISTRY = default_registry()


def made(cell: Cell, **sizes: Any) -> Loaded:
    """A random model of this cell, as if it had been loaded."""
    tokenizer = CharTokenizer(TEXT)
    config = ModelConfig(tokenizer.vocabulary_size, 16, unknown_id=0, **sizes)
    model = LanguageModel(cell, config)
    initialise(model, seed=3)
    header = Header("odd", {"name": "odd", "version": 1, "options": {}}, config.to_json(), tokenizer.to_json())
    return Loaded(Path("odd.odd.safetensors"), header, tokenizer, cell, model.eval().requires_grad_(False))


@pytest.fixture
def difference(tmp_path: Path) -> Callable[..., float]:
    """``difference(loaded)``: the largest difference of logits over a text, two rows at once."""

    def compare(loaded: Loaded, text: str = TEXT) -> float:
        path, _ = export_onnx(loaded, tmp_path)
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        start = json.loads(session.get_modelmeta().custom_metadata_map["initial_state"])
        states = {
            one.name: numpy.full((2, one.shape[1]), start[one.name], dtype=numpy.float32)
            for one in session.get_inputs()
            if one.name != "token"
        }
        names = [one.name for one in session.get_outputs()]
        decoder = loaded.model.decoder()
        state = decoder.initial_state(2)
        tokens = loaded.tokenizer.encode(text)
        worst = 0.0
        for pair in zip(tokens, reversed(tokens), strict=True):
            given = {"token": numpy.array(pair, dtype=numpy.int64), **states}
            found = dict(zip(names, session.run(names, given), strict=True))
            states = {name: found[f"next_{name}"] for name in states}
            logits, state = decoder.step(torch.tensor(pair), state)
            worst = max(worst, float(numpy.abs(found["logits"] - logits.numpy()).max()))
        return worst

    return compare


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_onnxruntime_gives_the_logits_of_a_shipped_checkpoint(cell: str, difference: Callable[..., float]) -> None:
    assert difference(load_checkpoint(SHIPPED / f"shakespeare.{cell}.safetensors"), "ROMEO.\nO, she doth") < 1e-4


@pytest.mark.parametrize("name", [name for name in REGISTRY.cells if name not in ("rnn", "lstm", "gru")])
def test_every_cell_of_the_gallery_is_exported(name: str, difference: Callable[..., float]) -> None:
    assert difference(made(REGISTRY.create_cell(name))) < 1e-5


@pytest.mark.parametrize("sizes", [{"num_layers": 2, "norm": "layer"}, {"num_layers": 3, "residual": True}])
def test_normalisation_and_residual_layers_are_exported(sizes: Any, difference: Callable[..., float]) -> None:
    assert difference(made(REGISTRY.create_cell("gru"), **sizes)) < 1e-5


def test_the_graph_names_its_states_and_carries_the_vocabulary(tmp_path: Path) -> None:
    path, vocabulary = export_onnx(made(REGISTRY.create_cell("lstm"), num_layers=2), tmp_path)
    model = onnx.load(str(path))
    assert [one.name for one in model.graph.input] == ["token", "h_0", "c_0", "h_1", "c_1"]
    assert [one.name for one in model.graph.output] == ["logits", "next_h_0", "next_c_0", "next_h_1", "next_c_1"]
    facts = {one.key: one.value for one in model.metadata_props}
    assert json.loads(facts["tokenizer"])["characters"] == "".join(sorted(set(TEXT)))
    assert json.loads(vocabulary.read_text(encoding="utf-8"))["tokens"][0] == "<unk>"


class Scaling(Cell):
    """A cell whose operations carry factors of their own."""

    input = "h"
    state = {"h": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, torch.Tensor]:
        mixed = torch.addmm(x.h, s.h, torch.full((16, 16), 0.1), alpha=0.5)
        return {"h": torch.tanh(torch.rsub(mixed, x.h, alpha=3))}


def test_factors_that_an_operation_carries_are_exported(difference: Callable[..., float]) -> None:
    assert difference(made(Scaling())) < 1e-5


class Rounding(Cell):
    """A cell whose division is not the usual one."""

    input = "h"
    state = {"h": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, torch.Tensor]:
        return {"h": torch.tanh(x.h + torch.div(s.h, 0.3, rounding_mode="floor"))}


def test_a_keyword_that_changes_an_operation_is_never_passed_over(tmp_path: Path) -> None:
    with pytest.raises(CelloquyError, match=r"cell Rounding: its step uses aten\.div\.\w+ with rounding_mode, which"):
        export_onnx(made(Rounding()), tmp_path)


class Sorting(Cell):
    """A cell with an operation that ONNX is not told of."""

    input = "h"
    state = {"h": 0.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> dict[str, torch.Tensor]:
        return {"h": torch.tanh(torch.sort(x.h + s.h, dim=-1).values)}


def test_an_operation_that_the_exporter_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(CelloquyError) as refused:
        export_onnx(made(Sorting()), tmp_path)
    assert "cell Sorting: its step uses aten.sort" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(CelloquyError, match=r"pip install 'celloquy\[onnx\]'"):
        export_onnx(made(REGISTRY.create_cell("rnn")), tmp_path)
