"""Checks of a cell's form: its declaration, its shapes, its dtype and device."""

from __future__ import annotations

import itertools

import torch

from cells.cell import check_declaration
from cells.errors import CelloquyError
from plugins.conformance.branches import data_reads
from plugins.conformance.subject import Subject
from plugins.guard import Blame


def declaration(subject: Subject) -> None:
    """Gates, matrices, states, vectors, biases and options are declared without contradiction."""
    check_declaration(subject.cell)


def shapes(subject: Subject) -> None:
    """Every state comes back [B, H], whatever the sizes: batch, length and hidden size of 1 included."""
    if subject.trouble:
        raise CelloquyError(subject.trouble)
    for length, batch, hidden in itertools.product((1, 2), (1, 2), (1, 3)):
        with Blame(f"at B={batch}, T={length}, H={hidden}"):
            subject.run(subject.case(length, batch, hidden=hidden))


def dtype_and_device(subject: Subject) -> None:
    """States come back in the dtype and on the device of the input: float64, bfloat16, meta, and CUDA if there is."""
    for dtype in (torch.float64, torch.bfloat16):
        _follows(subject, torch.device("cpu"), dtype)
    if not data_reads(subject):  # reading data, which another check reports, is all that meta tensors cannot do
        _follows(subject, torch.device("meta"), torch.float32)
    if torch.cuda.is_available():
        _follows(subject, torch.device("cuda"), torch.float32)


def _follows(subject: Subject, device: torch.device, dtype: torch.dtype) -> None:
    case = subject.case()
    layer = case.layer.to(device, dtype)
    state = {name: value.to(device, dtype) for name, value in case.state.items()}
    kind = str(dtype).removeprefix("torch.") if device.type == "cpu" else device.type
    with Blame(f"with {kind} input"):
        _, final = layer(case.x.to(device, dtype), state)
        for name, value in final.items():
            if value.dtype != dtype or value.device.type != device.type:
                found = str(value.dtype).removeprefix("torch.")
                raise CelloquyError(f"state {name} comes back as {found} on {value.device.type}")
