"""Batched continuations are those that each would be alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cells.errors import UsageError
from checkpoints.loading import load_checkpoint
from repl.batch import UNIFORMS, Job
from repl.generator import Writer
from repl.text_model import TextModel

Make = Callable[..., Any]
PROMPTS = ["ROMEO:", "", "To be, or not to be", "A", "你好", "x" * 70, "ROMEO:"]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_prompts_of_all_lengths_batched_give_the_texts_they_give_alone(write: Make, cell: str) -> None:
    writer = write(cell=cell)
    for seed in range(5):
        alone = [writer.generate(prompt, 50, seed=seed) for prompt in PROMPTS]
        assert writer.generate_batch(PROMPTS, 50, seed=seed) == alone


@pytest.mark.parametrize("length", [UNIFORMS - 1, UNIFORMS, UNIFORMS + 1, 2 * UNIFORMS + 5])
def test_random_numbers_made_many_at_once_are_those_of_the_stream(write: Make, length: int) -> None:
    writer = write()
    batch = writer.generate_batch(["To be", "A"], length, seed=4)
    for prompt, text in zip(["To be", "A"], batch, strict=True):
        writer.reset()
        assert "".join(writer.stream(prompt, length, seed=4)) == text


@pytest.mark.parametrize(
    "sampling",
    [{"top_p": 0.8}, {"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.5}, {"greedy": True}, {"temperature": 1.6}],
)
def test_every_sampler_treats_a_row_as_it_treats_it_alone(write: Make, sampling: dict[str, Any]) -> None:
    writer = write()
    for seed in range(2):
        alone = [writer.generate(prompt, 50, seed=seed, **sampling) for prompt in PROMPTS]
        assert writer.generate_batch(PROMPTS, 50, seed=seed, **sampling) == alone


def test_samples_differ_and_each_is_the_same_in_any_company(write: Make) -> None:
    writer = write("bytes", "gru")
    jobs = [Job("To be", sample) for sample in range(100)]
    together = writer.continuations(jobs, 40, seed=3)
    assert len({done.text for done in together}) == 100
    for done in together[::9]:
        assert writer.continuations([done.job], 40, seed=3) == [done]


def test_rows_that_stop_leave_the_others_as_they_are(write: Make) -> None:
    writer = write()
    jobs = [Job("To be", sample) for sample in range(64)]
    together = writer.continuations(jobs, 80, seed=3, stop=("e", "ar"))
    assert {done.finish for done in together} == {"stop", "length"}
    for done in together:
        assert not any(stop in done.text for stop in ("e", "ar"))
        assert done.tokens == len(done.text)
    for done in together[::7]:
        assert writer.continuations([done.job], 80, seed=3, stop=("e", "ar")) == [done]


def test_layers_residual_paths_and_norms_agree_in_a_batch_too(tmp_path: Path, save: Make) -> None:
    path = save(tmp_path, "deep", "lstm", num_layers=2, residual=True, norm="layer")
    writer = Writer(load_checkpoint(path))
    alone = [writer.generate(prompt, 60, seed=1) for prompt in PROMPTS]
    assert writer.generate_batch(PROMPTS, 60, seed=1) == alone


def test_sizes_whose_rows_differ_by_an_ulp_are_written_one_by_one(tmp_path: Path, save: Make) -> None:
    writer = Writer(load_checkpoint(save(tmp_path, "odd", "lstm", hidden=41)))
    for seed in range(3):
        alone = [writer.generate(prompt, 50, seed=seed) for prompt in PROMPTS]
        assert writer.generate_batch(PROMPTS, 50, seed=seed) == alone


def test_a_wide_model_is_written_side_by_side(tmp_path: Path, save: Make) -> None:
    assert TextModel(load_checkpoint(save(tmp_path, "wide", "gru", hidden=128))).rows_agree


def test_no_tokens_asked_for_is_no_text(write: Make) -> None:
    (done,) = write().continuations([Job("a")], 0)
    assert (done.text, done.tokens, done.nats_per_token, done.finish) == ("", 0, None, "length")


def test_the_mean_surprise_is_that_of_the_stream(write: Make) -> None:
    writer = write()
    (done,) = writer.continuations([Job("a")], 50, seed=2)
    pieces = list(writer.stream("a", 50, seed=2))
    assert done.nats_per_token == pytest.approx(sum(piece.surprise for piece in pieces) / 50)


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_without_surprise_the_texts_are_the_same(write: Make, stop: tuple[str, ...]) -> None:
    writer = write()
    jobs = [Job("To be", sample) for sample in range(3)]
    told = writer.continuations(jobs, 40, seed=3, stop=stop)
    bare = writer.continuations(jobs, 40, seed=3, stop=stop, nats=False)
    assert [done.text for done in bare] == [done.text for done in told]
    assert all(done.nats is None and done.nats_per_token is None for done in bare)
    assert all(done.nats_per_token > 0 for done in told if done.tokens)
    for ask in (writer.generate, lambda prompt, **given: writer.generate_batch([prompt], **given)):
        with pytest.raises(UsageError, match="no option 'nats'"):
            ask("To be", nats=True)
