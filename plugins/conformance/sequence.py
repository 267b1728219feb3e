"""Checks of a cell over time and over the batch: steps, chunks, causality, masks, rows."""

from __future__ import annotations

import torch
from torch import Tensor

from cells.errors import CelloquyError
from plugins.conformance.subject import BATCH, LENGTH, Subject, difference, require_equal

CUT = 3
"""Where a sequence is cut: 8 = 3 + 5, two odd parts of an even whole."""

GARBAGE = 1e6
"""What stands at masked steps."""


def sequence_equals_steps(subject: Subject) -> None:
    """Running a sequence gives what calling ``step`` by hand gives, once a token."""
    case = subject.case()
    with torch.no_grad():
        require_equal(subject.run(case), subject.steps(case), "the sequence and its steps")


def chunks_equal_whole(subject: Subject) -> None:
    """A sequence in two chunks, the state carried, gives what the whole gives."""
    case = subject.case()
    with torch.no_grad():
        whole = subject.run(case)
        first, state = subject.run(case, case.x[:CUT])
        second, final = subject.run(case, case.x[CUT:], state)
    require_equal((torch.cat([first, second]), final), whole, "two chunks and the whole")


def rows_are_independent(subject: Subject) -> None:
    """What a row of the batch gives does not depend on the other rows, nor on its place among them."""
    case = subject.case()
    with torch.no_grad():
        y, final = subject.run(case)
        for rows, what in (([2, 0], "a subset of the batch"), ([2, 0, 1], "a permutation of the batch")):
            found = subject.run(case, case.x[:, rows], {name: value[rows] for name, value in case.state.items()})
            expected = {name: value[rows] for name, value in final.items()}
            require_equal(found, (y[:, rows], expected), f"{what} and its rows in the whole")


def causality(subject: Subject) -> None:
    """Nothing before a step depends on its input: other numbers there, or NaN, leave the past as it was."""
    case = subject.case()
    with torch.no_grad():
        past = subject.run(case)[0][:CUT]
        for value, what in ((-2 * case.x[CUT:], "other numbers"), (torch.full_like(case.x[CUT:], torch.nan), "NaN")):
            y, _ = subject.run(case, torch.cat([case.x[:CUT], value]))
            error = difference(y[:CUT], past)
            if error > 1e-12:
                raise CelloquyError(f"{what} at step {CUT + 1} change the output of an earlier step by {error:.1e}")


def masked_rows_keep_their_state(subject: Subject) -> None:
    """A masked row keeps its state to the bit, and garbage at masked steps reaches no gradient."""
    case = subject.case()
    mask = torch.ones(LENGTH, BATCH, dtype=torch.bool)
    mask[CUT:, 1] = False
    x = torch.where(mask.unsqueeze(-1), case.x, GARBAGE).requires_grad_()
    y, final = case.layer(x, case.state, mask)
    _, before = case.layer(x[:CUT], case.state, mask[:CUT])
    for name, value in final.items():
        if not torch.equal(value[1], before[name][1]):
            raise CelloquyError(f"state {name} of a masked row changes")
    total: Tensor = y.sum() + sum((value.sum() for value in final.values()), y.new_zeros(()))
    parameters = dict(case.layer.named_parameters())
    gradients = torch.autograd.grad(total, [x, *parameters.values()], allow_unused=True)
    for name, gradient in zip(["the input", *parameters], gradients, strict=True):
        if gradient is not None and not bool(gradient.isfinite().all()):
            raise CelloquyError(
                f"large numbers at masked steps make the gradient of {name} not finite (a function such as exp "
                "overflows in step)"
            )
