from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from checkpoints import device, threads
from checkpoints.device import choose_device, choose_precision, choose_threads, has_bf16
from checkpoints.schedule import Budget, Schedule
from checkpoints.threads import ThreadWatch

CPU = torch.device("cpu")


def test_devices_are_found_or_refused_in_one_line() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for wrong in ("abacus", "", "meta", "cpu:x"):
        with pytest.raises(UsageError, match="device must be"):
            choose_device(wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_says_so() -> None:
    with pytest.raises(CelloquyError, match="device cuda is not there"):
        choose_device("cuda")


def test_precision_is_as_asked_and_auto_follows_the_machine() -> None:
    assert choose_precision("fp32", CPU) is None
    assert choose_precision("bf16", CPU) == torch.bfloat16
    assert choose_precision("auto", CPU) == (torch.bfloat16 if has_bf16(CPU) else None)


@pytest.mark.parametrize(("slow", "expected"), [(1, 3), (3, 1)])
def test_threads_are_measured_and_the_faster_choice_wins(
    monkeypatch: pytest.MonkeyPatch, slow: int, expected: int
) -> None:
    monkeypatch.setattr(device, "thread_choices", lambda: [1, 3])
    monkeypatch.setattr(device, "MEASURING", 0.05)
    before = torch.get_num_threads()

    def trial() -> None:
        time.sleep(0.01 if torch.get_num_threads() == slow else 0.001)

    assert choose_threads("auto", CPU, trial) == expected
    assert torch.get_num_threads() == before


def test_a_number_of_threads_is_taken_as_it_is_without_measuring() -> None:
    def never() -> None:
        raise AssertionError("measured")

    assert choose_threads("3", CPU, never) == 3
    for wrong in ("0", "-1", "two", "", "1.5", "99999", "²"):
        with pytest.raises(UsageError, match="threads must be"):
            choose_threads(wrong, CPU, never)


@given(st.sampled_from(["cosine", "constant", "plateau"]), st.integers(0, 500), st.integers(0, 100))
def test_the_learning_rate_never_leaves_its_range(kind: str, step: int, warmup: int) -> None:
    schedule = Schedule(kind, 0.01, warmup)
    rate = schedule.rate(step, Budget(steps=500).fraction(step, 0.0))
    assert 0 <= rate <= 0.01
    if step < warmup:
        assert rate <= 0.01 * (step + 1) / warmup * (1 + 1e-12)


def test_the_cosine_follows_the_budget_whatever_its_unit() -> None:
    schedule = Schedule("cosine", 1.0)
    assert schedule.rate(50, Budget(steps=100).fraction(50, 9e9)) == pytest.approx(0.5)
    assert schedule.rate(50, Budget(seconds=10).fraction(50, 5.0)) == pytest.approx(0.5)
    assert schedule.rate(50, Budget(seconds=10).fraction(50, 11.0)) == pytest.approx(0.0)


def test_threads_are_measured_again_when_the_machine_becomes_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([2, 1])
    monkeypatch.setattr(threads, "choose_threads", lambda *_: next(answers))
    watch = ThreadWatch("auto", CPU, lambda: None)
    watch.observe(1000.0)
    watch.observe(100.0)
    assert watch.threads == 2, "too early to measure again"
    monkeypatch.setattr(threads, "AT_LEAST", 0.0)
    watch.observe(600.0)
    assert watch.threads == 2
    watch.observe(400.0)
    assert watch.threads == torch.get_num_threads() == 1
    watch.observe(1.0)
    assert watch.threads == 1, "there is nothing below one thread"


def test_threads_that_were_asked_for_are_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "AT_LEAST", 0.0)
    monkeypatch.setattr(threads, "AT_MOST", 0.0)
    watch = ThreadWatch("1", CPU, lambda: None)
    watch.observe(1000.0)
    watch.observe(1.0)
    assert watch.threads == 1


def test_a_resumed_run_begins_with_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "choose_threads", lambda wish, *_: {"auto": 2, "1": 1}[wish])
    assert ThreadWatch("auto", CPU, lambda: None, begin="1").threads == 1
    assert ThreadWatch("auto", CPU, lambda: None).threads == 2
