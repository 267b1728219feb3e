"""The check that the kernels which plugins offer for a cell compute what its step does."""

from __future__ import annotations

import itertools

import torch

from cells.errors import CelloquyError
from plugins.conformance.report import NotApplicable
from plugins.conformance.subject import Subject
from plugins.guard import Blame
from plugins.kernels import disagreement


def kernel_equals_step(subject: Subject) -> str:
    """Every kernel on offer agrees with ``step`` on outputs, final state and, in training, every gradient."""
    devices = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    dtypes = (torch.float32, torch.float64, torch.bfloat16)
    tried = 0
    for owner, hook in subject.kernel_hooks:
        for device, dtype, training in itertools.product(devices, dtypes, (True, False)):
            kind = str(dtype).removeprefix("torch.")
            who = f"kernel of {owner} ({device.type}, {kind}, {'training' if training else 'inference'})"
            with Blame(who):
                kernel = hook(cell=subject.cell, device=device, dtype=dtype, training=training)
            if kernel is None:
                continue
            tried += 1
            found = disagreement(kernel, subject.cell, device, dtype, training, who)
            if found:
                raise CelloquyError(f"{who} disagrees with step on {found}")
    if not tried:
        raise NotApplicable("no plugin offers a kernel for this cell")
    return f"{tried} kernels"
