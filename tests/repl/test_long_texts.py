"""Texts so long that they are read in rows side by side: prompts, transcripts that another cell takes over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cells import row_reader
from cells.row_reader import LONG
from repl import text_model
from repl.generator import Writer

Make = Callable[..., Writer]
TEXT = ("To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 60)[: LONG + 700]


@pytest.fixture(autouse=True)
def long_for_kernels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long for one cell is long for all."""
    monkeypatch.setattr(row_reader, "LONG_FOR_KERNELS", LONG)


def place(writer: Writer) -> tuple[int | None, list[list[float]]]:
    """Where a writer stands, to the last bit."""
    state, pending = writer._reading.position
    return pending, [value.flatten().tolist() for layer in state for value in layer.values()]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_what_is_written_after_a_long_text_is_what_reading_it_step_by_step_gives(
    write: Make, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, states = [], []
    for rows in (True, False):
        if not rows:
            monkeypatch.setattr(text_model, "worth_rows", lambda *_: False)
        writer = write("tiny", cell, temperature=1.0)
        writer.feed(TEXT)
        states.append(writer._reading.position.state[0]["h"])
        here = writer.snapshot()
        for seed in range(12):
            writer.restore(here)
            texts.append("".join(writer.stream("", 60, seed=seed)))
    assert texts[:12] == texts[12:]
    torch.testing.assert_close(*states, atol=1e-4, rtol=1e-5)


def test_a_long_prompt_gives_the_same_text_alone_streamed_and_in_a_batch(write: Make) -> None:
    alone = write().generate(TEXT, 40, seed=7)
    assert "".join(write().stream(TEXT, 40, seed=7)) == alone
    assert write().generate_batch(["To be", TEXT, TEXT], 40, seed=7)[1] == alone


def test_another_cell_reads_a_long_transcript_as_if_it_had_been_given_it(write: Make) -> None:
    writer = write("tiny", "lstm")
    writer.feed(TEXT)
    writer.swap("gru")
    straight = write("tiny", "gru")
    straight.feed(TEXT)
    assert place(writer) == place(straight)
    writer.swap("lstm")
    again = write("tiny", "lstm")
    again.feed(TEXT)
    assert place(writer) == place(again)


def test_going_back_into_a_long_text_is_having_read_so_much_of_it(write: Make) -> None:
    writer, straight = write(), write()
    writer.feed(TEXT)
    writer.undo(100)
    straight.feed(TEXT[:-100])
    assert place(writer) == place(straight)


def test_a_place_in_a_long_text_is_worked_out_again_to_the_last_bit(write: Make) -> None:
    writer = write()
    list(writer.stream("Some words", 20, seed=1))
    writer.feed(TEXT)
    passage, there = writer._reading.seal(), place(writer)
    list(writer.stream("", 20))
    passage.position = None
    writer.undo(20)
    assert place(writer) == there
