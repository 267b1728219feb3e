"""What a plugin may implement. Each hook hands over a callback or asks a question; a plugin has those it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import torch

    from cells.cell import Cell
    from cells.layer import Kernel
    from plugins.registry import RegisterCell, RegisterSampler

PROJECT = "celloquy"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_cells(register: RegisterCell) -> None:
    """Call ``register(name, Cell class or "package.module:Class", summary="…")`` for each cell."""


@hookspec
def register_samplers(register: RegisterSampler) -> None:
    """Call ``register(Sampler class)``, or ``register("package.module:Class", name=…, options=…, order=…)``."""


@hookspec(firstresult=True)
def cell_kernel(cell: Cell, device: torch.device, dtype: torch.dtype, training: bool) -> Kernel | None:
    """A fused function ``(layer, x [T, B, I], state) -> (y [T, B, H], state)`` for this cell; None declines.

    ``dtype`` is that of the matrix products. The kernel is used only after it agrees with the cell's ``step``.
    """
    return None  # a specification; pluggy asks the plugins
