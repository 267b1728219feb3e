"""Weights kept in 16 bits: only where nothing is lost, and a row's product is its own."""

from __future__ import annotations

import pytest
import torch

from cells import half
from cells.half import half_product, halves_work, scaled_for_half
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig


@pytest.fixture
def weight():
    torch.manual_seed(0)
    return torch.randn(97, 96).bfloat16().float()


needs_halves = pytest.mark.skipif(not halves_work(), reason="torch has no FBGEMM here")


@needs_halves
@pytest.mark.parametrize("size", [1e-20, 1e-9, 1e-3, 1.0, 7.0, 1e3])
def test_stored_in_bfloat16_nothing_is_lost_whatever_the_size(weight, size):
    weight, bias = (weight * size).bfloat16().float(), torch.randn(97) * size
    rows = torch.randn(5, 96)
    product = half_product(weight, bias)
    assert product is not None
    expected = rows.double() @ weight.double().t() + bias
    assert (product(rows) - expected).abs().max() < 1e-6 * expected.abs().max()


@needs_halves
def test_numbers_of_float32_are_not_rounded(weight):
    assert half_product(weight + 1e-4 * torch.randn(97, 96)) is None
    one = weight.clone()
    one[5, 7] = 1.0 + 2**-13
    assert half_product(one) is None


@pytest.mark.parametrize("large", [2.0**11, 2.0**20, 2.0**100])
def test_one_large_weight_does_not_hide_what_others_would_lose(weight, large):
    """Each row is a sum of its own; and in the row itself, what the large one is multiplied with may be 0."""
    fine = torch.randn(97, 96)
    fine[0, 0] = large
    assert scaled_for_half(fine) is None
    small = (1e-6 * torch.randn(97, 96)).bfloat16().float()
    assert scaled_for_half(small) is not None
    small[0, 0] = large
    assert scaled_for_half(small) is None


@pytest.mark.parametrize("size", [2.0**-50, 2.0**-35])
def test_a_number_too_small_to_be_held_is_not_lost(weight, size):
    """Nobody knows what it and the large ones are multiplied with."""
    weight[3, 3] = (1 + 2**-7) * size
    assert scaled_for_half(weight) is None
    weight[3, 3] = (1 + 2**-7) * 2.0**-26
    assert scaled_for_half(weight) is not None


def test_other_kinds_of_numbers_are_left_alone(weight):
    assert half_product(weight.double()) is None
    assert half_product(weight.bfloat16()) is None


@needs_halves
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_a_row_does_not_depend_on_its_company(weight, size):
    product = half_product((weight * size).bfloat16().float())
    rows = torch.randn(64, 96)
    together = product(rows)
    for start, count in ((0, 1), (63, 1), (5, 7), (17, 13), (0, 32)):
        assert torch.equal(product(rows[start : start + count].contiguous()), together[start : start + count])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, 1e-38, 4e4, -1e20])
def test_what_has_no_size_for_it_is_not_scaled(value):
    assert scaled_for_half(torch.full((3, 3), value)) is None


def test_without_the_operator_products_are_made_as_ever(monkeypatch, weight):
    def gone(*_):
        raise RuntimeError("deprecated, and removed")

    monkeypatch.setattr(torch, "fbgemm_pack_gemm_matrix_fp16", gone)
    halves_work.cache_clear()
    try:
        assert not halves_work()
        assert half_product(weight) is None
    finally:
        monkeypatch.undo()
        halves_work.cache_clear()


@needs_halves
def test_torch_tells_nobody_that_the_operator_is_deprecated():
    import subprocess
    import sys

    code = "import torch; from cells.half import half_product as h; print(h(torch.ones(3, 4))(torch.ones(2, 4)).sum())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "tensor(24.)"
    assert done.stderr == ""


@needs_halves
def test_a_checkpoint_in_bfloat16_decodes_by_them_to_the_same_numbers(monkeypatch):
    """Held to the packed float32 product: the two differ by the order of their sums alone."""
    torch.manual_seed(0)
    model = LanguageModel(LSTM(), ModelConfig(37, 64, num_layers=2)).eval().requires_grad_(False)
    for value in model.parameters():
        value.copy_(value.bfloat16().float())
    asked = []
    monkeypatch.setattr(half, "scaled_for_half", lambda weight: asked.append(scaled_for_half(weight)) or asked[-1])
    tokens = torch.randint(37, (20, 3))
    numbers = []
    for works in (True, False):
        monkeypatch.setattr(half, "halves_work", lambda works=works: works)
        decoder = model.decoder()
        state = decoder.initial_state(3)
        for step in tokens:
            logits, state = decoder.step(step, state)
        numbers.append(logits)
    assert [found is not None for found in asked] == [True, True]
    torch.testing.assert_close(*numbers, atol=1e-5, rtol=1e-5)
