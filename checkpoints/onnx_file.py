"""``celloquy export --onnx``: the step of a checkpoint as an ONNX graph. Needs the package ``onnx``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.exchange import write_vocabulary
from checkpoints.files import make_folder, write_atomic
from checkpoints.loading import Loaded
from checkpoints.onnx_ops import Graph, add_call
from checkpoints.onnx_trace import Trace, state_name, trace_step

OPERATORS = 17
FORMAT = 8
"""Operator set and file format of 2022: every onnxruntime since 1.12 reads them."""


def export_onnx(loaded: Loaded, folder: Path) -> tuple[Path, Path]:
    """Write NAME.onnx and the vocabulary into a folder; returns the two paths.

    Inputs: ``token`` [batch] and every state by name and layer (``h_0``, [batch, H]). Outputs: ``logits`` [batch, V]
    and the states to hand in next (``next_h_0``). What the states begin with stands in the metadata. Raises
    CelloquyError if ``onnx`` is not installed, or for a cell with an operation that the exporter does not know.
    """
    try:
        import onnx
    except ImportError as error:
        raise CelloquyError("ONNX needs the package onnx: pip install 'celloquy[onnx]'") from error
    model = _model(onnx, loaded)
    onnx.checker.check_model(model)
    make_folder(folder)
    path = folder / f"{loaded.name}.onnx"
    write_atomic(path, model.SerializeToString())
    return path, write_vocabulary(loaded, folder)


def _model(onnx: Any, loaded: Loaded) -> Any:
    try:
        trace = trace_step(loaded.model)
        graph = _graph(trace, loaded.cell.label)
    except CelloquyError as error:
        raise CelloquyError(f"{loaded.name} cannot be exported to ONNX: {error}") from error
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    used = {name for _, inputs, _, _ in graph.nodes for name in inputs}
    tensors = {**trace.parameters, **graph.constants}
    made = helper.make_graph(
        [helper.make_node(kind, ins, outs, **_attributes(onnx, more)) for kind, ins, outs, more in graph.nodes],
        loaded.name,
        [_value(onnx, name, tensor) for name, tensor in trace.inputs.items()],
        [_value(onnx, name, tensor) for name, tensor in trace.outputs.items()],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items() if name in used],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPERATORS)], ir_version=FORMAT)
    model.producer_name = "celloquy"
    helper.set_model_props(model, _facts(loaded))
    return model


def _graph(trace: Trace, cell: str) -> Graph:
    graph = Graph(trace.batch)
    for name, tensor in {**trace.inputs, **trace.parameters}.items():
        graph.know(tensor, name)
    for call in trace.calls:
        add_call(graph, call, cell)
    for name, tensor in trace.outputs.items():
        graph.nodes.append(("Identity", [graph.name(tensor)], [name], {}))
    return graph


def _attributes(onnx: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as the helper takes them: a tensor becomes one of ONNX."""
    return {
        name: onnx.numpy_helper.from_array(value.numpy()) if hasattr(value, "numpy") else value
        for name, value in attributes.items()
    }


def _value(onnx: Any, name: str, tensor: Any) -> Any:
    kind = onnx.TensorProto.FLOAT if tensor.is_floating_point() else onnx.TensorProto.INT64
    return onnx.helper.make_tensor_value_info(name, kind, ["batch", *tensor.shape[1:]])


def _facts(loaded: Loaded) -> dict[str, str]:
    """What a program needs beside the graph: the vocabulary, and what each state begins with."""
    start = {
        state_name(number, name): float(value)
        for number in range(loaded.model.config.num_layers)
        for name, value in loaded.cell.state.items()
    }
    facts = {"checkpoint": loaded.name, "cell": loaded.header.cell_name}
    return facts | {
        "initial_state": json.dumps(start),
        "tokenizer": json.dumps(loaded.tokenizer.to_json(), ensure_ascii=False),
    }
