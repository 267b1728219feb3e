"""The check that a cell which says so is affine in its state, near and far."""

from __future__ import annotations

import torch
from torch import Tensor

from cells.errors import CelloquyError
from plugins.conformance.report import NotApplicable
from plugins.conformance.subject import Subject, difference

FAR = 1e4
"""How large the states are at which the map must still be the one that it is near zero."""


def affine_is_affine(subject: Subject) -> None:
    """With ``affine = True``, f(a) - f(0) is linear in the state a: for sums, and for states far from zero."""
    if not subject.cell.affine:
        raise NotApplicable("the cell does not say that it is affine")
    case = subject.case()
    generator = torch.Generator().manual_seed(7)

    def like(scale: float) -> dict[str, Tensor]:
        return {
            name: scale * torch.randn(value.shape, generator=generator, dtype=value.dtype)
            for name, value in case.state.items()
        }

    def change(state: dict[str, Tensor]) -> dict[str, Tensor]:
        zero = {name: torch.zeros_like(value) for name, value in state.items()}
        new, origin = (subject.arguments(case, None, s).call(subject.cell) for s in (state, zero))
        return {name: new[name] - origin[name] for name in new}

    with torch.no_grad():
        one, other = like(1.0), like(FAR)
        both = change({name: one[name] + other[name] for name in one})
        apart = change(one), change(other)
        scaled = change({name: FAR * value for name, value in one.items()})
    for name in both:
        errors = (
            difference(both[name], apart[0][name] + apart[1][name]),
            difference(scaled[name], FAR * apart[0][name]),
        )
        if max(errors) > 1e-9:
            raise CelloquyError(f"affine = True, but the new {name} is not affine in the old state")
