from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError
from checkpoints.batches import SequentialBatches, fitting_batch

SIZES = {"length": st.integers(2, 200), "batch": st.integers(1, 9), "bptt": st.integers(1, 12)}


def numbered(length: int) -> numpy.ndarray:
    return numpy.arange(length, dtype=numpy.int32)


@given(**SIZES)
def test_every_row_reads_on_where_it_stopped(length: int, batch: int, bptt: int) -> None:
    batches = SequentialBatches(numbered(length), batch, bptt)
    inputs, targets = zip(*(batches.next() for _ in range(4)), strict=True)
    read, foretold = torch.cat(inputs), torch.cat(targets)
    assert read.shape == foretold.shape == (4 * bptt, batch)
    assert torch.equal(foretold, (read + 1) % length)
    assert torch.equal(read[1:], (read[:-1] + 1) % length)


@given(**SIZES)
def test_one_epoch_reads_every_token_once(length: int, batch: int, bptt: int) -> None:
    batches = SequentialBatches(numbered(length), batch, 1)
    rows = [[] for _ in range(batch)]  # type: list[list[int]]
    for _ in range(-(-length // batch)):
        for row, token in zip(rows, batches.next()[0][0].tolist(), strict=True):
            row.append(token)
    assert {token for row in rows for token in row} == set(range(length))
    assert 1 <= batches.epochs < 1 + batch / length + 1e-9


@given(**SIZES, steps=st.integers(0, 50))
def test_the_position_is_all_that_resuming_needs(length: int, batch: int, bptt: int, steps: int) -> None:
    first = SequentialBatches(numbered(length), batch, bptt)
    for _ in range(steps):
        first.next()
    second = SequentialBatches(numbered(length), batch, bptt)
    second.read = first.read
    for one, other in zip(first.next(), second.next(), strict=True):
        assert torch.equal(one, other)


def test_some_rows_are_the_same_rows_as_among_all() -> None:
    whole = SequentialBatches(numbered(100), 4, 5)
    part = SequentialBatches(numbered(100), 4, 5, rows=range(1, 4, 2))
    for one, other in zip(whole.next(), part.next(), strict=True):
        assert torch.equal(one[:, [1, 3]], other)


@given(tokens=st.integers(2, 10_000), batch=st.integers(1, 200), bptt=st.integers(1, 300))
def test_a_batch_fits_its_corpus_and_says_what_shrank(tokens: int, batch: int, bptt: int) -> None:
    size = fitting_batch(tokens, batch, bptt)
    assert 1 <= size.batch <= batch
    assert 1 <= size.bptt <= bptt
    assert size.batch * size.bptt <= tokens
    assert bool(size.remark) == ((size.batch, size.bptt) != (batch, bptt))
    if size.batch < batch:
        assert f"batch {batch} became {size.batch}" in size.remark


def test_a_single_token_cannot_be_trained_on() -> None:
    with pytest.raises(CelloquyError, match="fewer than two"):
        SequentialBatches(numbered(1), 1, 1)
