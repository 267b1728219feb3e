"""The tanh of training is torch's, to within what float32 can tell."""

from __future__ import annotations

import pytest
import torch

from cells.activation import tanh


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 5.0, 1e3])
def test_value_and_gradient_are_those_of_torch(scale: float) -> None:
    torch.manual_seed(0)
    x = (torch.randn(64, 4, 32) * scale).requires_grad_()
    upstream = torch.randn(64, 32)
    found = []
    for function in (torch.tanh, tanh):
        y = function(x.unbind(1)[2])
        (gradient,) = torch.autograd.grad(y, x, upstream)
        found.append((y.detach(), gradient))
    torch.testing.assert_close(found[1], found[0], atol=2e-6, rtol=0)
    assert found[1][0].abs().max() <= 1


def test_what_is_not_finite_stays_what_tanh_makes_of_it() -> None:
    x = torch.tensor([torch.inf, -torch.inf, torch.nan, 3e38, -3e38], requires_grad=True)
    torch.testing.assert_close(tanh(x), torch.tanh(x), atol=0, rtol=0, equal_nan=True)


def test_gradients_of_every_order_are_exact_in_float64() -> None:
    x = torch.randn(7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tanh, (x,))
    assert torch.autograd.gradgradcheck(tanh, (x,))


def test_without_a_gradient_it_is_torchs_own_to_the_last_bit() -> None:
    x = torch.randn(64, 33)
    assert torch.equal(tanh(x), torch.tanh(x))
    with torch.no_grad():
        assert torch.equal(tanh(x.clone().requires_grad_()), torch.tanh(x))
