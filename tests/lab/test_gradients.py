"""What the gradient lab says about vanishing, exploding and carrying, against sums written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cells.errors import UsageError
from repl.lab.gradients import measure, per_step, random_tokens, row_norms
from repl.lab.jacobian import jacobian_products, largest_singular_value, vector_jacobian
from repl.lab.replay import replay
from repl.lab.variants import CURES, VOCABULARY, Variant, build, combinations

LENGTH = 120


def study(registry, variant, *, hidden=32, length=LENGTH, batch=4, seed=3, jacobian=False):
    model = build(variant, registry, hidden=hidden, seed=seed)
    return measure(model, random_tokens(VOCABULARY, length, batch, seed), variant.label, jacobian=jacobian)


# ---------------------------------------------------------------- an independent computation, float64, no autograd


def sigma(z):
    return 1.0 / (1.0 + np.exp(-z))


class Written:
    """RNN and LSTM forwards and their Jacobians by the textbook, from the model's numbers only."""

    def __init__(self, model, tokens):
        weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
        self.E = weights["embedding.weight"]
        self.W = weights["blocks.0.recurrent.W"]
        self.b = weights["blocks.0.recurrent.b"]
        self.R = weights["blocks.0.recurrent.R.h"]
        self.O, self.o = weights["readout.weight"], weights["readout.bias"]
        self.tokens, self.target = tokens[:-1], tokens[-1]
        self.hidden = self.R.shape[1]

    def output_gradient(self, h):
        """d loss / d h of the last step: O^T (softmax - one-hot)."""
        logits = self.O @ h + self.o
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        probabilities[self.target] -= 1.0
        return self.O.T @ probabilities

    def rnn(self):
        """The state after every step, and the Jacobian of every step."""
        h, jacobians = np.zeros(self.hidden), []
        for token in self.tokens:
            h = np.tanh(self.W @ self.E[token] + self.R @ h + self.b)
            jacobians.append((1 - h**2)[:, None] * self.R)
        return h, jacobians

    def lstm(self):
        """The same for the states (h, c) side by side."""
        H = self.hidden
        h, c, jacobians = np.zeros(H), np.zeros(H), []
        for token in self.tokens:
            z = self.W @ self.E[token] + self.R @ h + self.b
            i, f, g, o = sigma(z[:H]), sigma(z[H : 2 * H]), np.tanh(z[2 * H : 3 * H]), sigma(z[3 * H :])
            Ri, Rf, Rg, Ro = (self.R[n * H : (n + 1) * H] for n in range(4))
            old = c
            c = f * old + i * g
            dc_dh = (i * (1 - i) * g)[:, None] * Ri + (f * (1 - f) * old)[:, None] * Rf
            dc_dh += (i * (1 - g**2))[:, None] * Rg
            dc_dc = np.diag(f)
            outer = (o * (1 - np.tanh(c) ** 2))[:, None]
            dh_dh = outer * dc_dh + (o * (1 - o) * np.tanh(c))[:, None] * Ro
            dh_dc = outer * dc_dc
            jacobians.append(np.block([[dh_dh, dh_dc], [dc_dh, dc_dc]]))
            h = o * np.tanh(c)
        return h, jacobians


def written_norms(model, tokens, kind):
    """|dL/dh_{t-k}| and |dL/dc_{t-k}| by multiplying Jacobians, and the log of the product's largest singular value."""
    text = Written(model, tokens.numpy())
    h, jacobians = text.rnn() if kind == "rnn" else text.lstm()
    H = text.hidden
    gradient = np.zeros(jacobians[0].shape[0])
    gradient[:H] = text.output_gradient(h)
    norms = {"h": [np.linalg.norm(gradient[:H])], "c": [np.linalg.norm(gradient[H:])]}
    singular, product = [], np.eye(len(gradient))
    for jacobian in jacobians[:0:-1]:
        gradient = gradient @ jacobian
        norms["h"].append(np.linalg.norm(gradient[:H]))
        norms["c"].append(np.linalg.norm(gradient[H:]))
        product = product @ jacobian
        singular.append(math.log(np.linalg.svd(product, compute_uv=False)[0]))
    return norms, singular


@pytest.mark.parametrize(
    "variant",
    [Variant(), Variant(scale=6.0), Variant(init="orthogonal"), Variant("lstm"), Variant("lstm", bias=(("f", 5.0),))],
    ids=lambda variant: variant.label,
)
def test_gradient_norms_and_singular_values_equal_written_out_jacobian_products(registry, variant):
    model = build(variant, registry, hidden=24, seed=5)
    tokens = random_tokens(VOCABULARY, 40, 1, 5)
    found = measure(model, tokens)
    norms, singular = written_norms(model, tokens[:, 0], variant.cell)
    for curve in found.curves:
        np.testing.assert_allclose(curve.median, norms[curve.state], rtol=1e-9, atol=0)
    np.testing.assert_allclose(found.log_singular, singular, rtol=1e-7, atol=1e-9)


# ---------------------------------------------------------------- what must be seen


def test_the_plain_rnn_vanishes(registry):
    found = study(registry, Variant(), jacobian=True)
    curve = found.curve("h")
    assert curve.median[100] < 1e-15 * found.reference
    assert per_step(curve.median) < 0.75
    assert found.log_singular[99] < -30


def test_a_badly_scaled_rnn_explodes(registry):
    found = study(registry, Variant(scale=8.0), jacobian=True)
    assert found.curve("h").median[100] > 1e6 * found.reference
    assert per_step(found.curve("h").median) > 1.1
    assert found.log_singular[99] > 10


def test_tiny_initial_weights_vanish_within_ten_steps(registry):
    found = study(registry, Variant(init="normal:0.01"))
    assert found.curve("h").median[10] < 1e-9 * found.reference


def test_the_lstm_cell_state_carries_with_its_forget_gate_open(registry):
    found = study(registry, Variant("lstm", bias=(("f", 5.0),)), jacobian=True)
    carried = found.curve("c").median
    assert carried[100] > 0.2 * carried[1]
    assert 0.97 < per_step(carried[1:]) < 1.03
    assert -2 < found.log_singular[99] < 6


def test_an_lstm_reaches_further_back_than_a_plain_rnn(registry):
    lstm, rnn = study(registry, Variant("lstm")), study(registry, Variant())
    assert lstm.curve("c").median[60] / lstm.reference > 1e6 * rnn.curve("h").median[60] / rnn.reference


def test_a_gru_carries_with_its_update_gate_closed(registry):
    found = study(registry, Variant("gru", bias=(("z", 5.0),)))
    assert found.curve("h").median[100] > 0.1 * found.reference


def test_sigmoid_vanishes_faster_than_tanh_and_relu_carries(registry):
    rates = {
        name: per_step(study(registry, Variant(activation=name, init="he")).curve("h").median)
        for name in ("sigmoid", "tanh", "relu")
    }
    assert rates["sigmoid"] < 0.4 < rates["tanh"] < 0.9 < rates["relu"]


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_normalised_the_scale_of_the_recurrent_weights_no_longer_matters(registry, norm):
    rates, plain = [], []
    for scale in (1.0, 8.0):
        rates.append(per_step(study(registry, Variant(scale=scale, norm=norm), batch=16).curve("h").median))
        plain.append(per_step(study(registry, Variant(scale=scale), batch=16).curve("h").median))
    assert rates[0] == pytest.approx(rates[1], abs=0.02)
    assert plain[1] > 1.2 > 0.7 > plain[0]
    assert 0.75 < rates[0] < 1.1


def test_normalisation_brings_tiny_weights_back(registry):
    for norm in ("layer", "batch"):
        after = study(registry, Variant(init="normal:0.01", norm=norm), batch=16)
        assert after.curve("h").median[60] > 1e-2 * after.reference


def test_residual_layers_keep_the_gradient_of_the_lowest_layer(registry):
    plain, residual = (study(registry, Variant(layers=8, residual=on), length=20) for on in (False, True))
    assert plain.curve("h", 1).median[0] < 0.1 * plain.reference
    assert residual.curve("h", 1).median[0] > 0.5 * residual.reference


def test_better_initial_weights_reach_further(registry):
    rates = [
        per_step(study(registry, Variant(init=name)).curve("h").median)
        for name in ("normal:0.01", "default", "orthogonal", "he")
    ]
    assert rates == sorted(rates)


def test_every_preset_can_be_measured(registry):
    for _, variants in CURES.values():
        for variant in variants:
            found = study(registry, variant, hidden=8, length=6)
            assert all(math.isfinite(value) for curve in found.curves for value in curve.median), variant.label


# ---------------------------------------------------------------- the parts


def test_every_cell_that_is_registered_can_be_measured(registry):
    for name in registry.cells:
        found = study(registry, Variant(name), hidden=8, length=10, jacobian=True)
        assert any(curve.median[3] > 0 for curve in found.curves), name
        assert len(found.log_singular) == 10, name


def test_the_replay_is_the_model(registry):
    for variant in (Variant("lstm"), Variant("gru", layers=3, residual=True)):
        model = build(variant, registry, hidden=16)
        tokens = random_tokens(VOCABULARY, 12, 3, 1)
        layers, hidden = replay(model, tokens)
        logits, state = model(tokens)
        torch.testing.assert_close(model.read(hidden), logits)
        for run, last in zip(layers, state, strict=True):
            for name, value in last.items():
                torch.testing.assert_close(run.stacked(name)[-1], value)


def test_a_vector_jacobian_product_is_that_of_autograd(registry):
    model = build(Variant("gru"), registry, hidden=6)
    layers, _ = replay(model, random_tokens(VOCABULARY, 3, 1, 1))
    run = layers[0]
    rows = torch.eye(6, dtype=torch.float64)
    state = {"h": run.states[1]["h"][0].detach()}

    def step(h):
        from cells.bundle import GateBundle, named
        from cells.stepping import call_step
        from repl.lab.jacobian import plain_products

        x = GateBundle(run.gates[2, 0][None].detach(), run.layer.gates)
        return call_step(run.layer.cell, x, {"h": h[None]}, plain_products(run.layer), named(dict(run.layer.p)))["h"][0]

    expected = torch.autograd.functional.jacobian(step, state["h"])
    torch.testing.assert_close(vector_jacobian(run.layer, run.gates[2, 0].detach(), state, rows), expected)


def test_power_iteration_finds_the_largest_singular_value():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(300, 300, generator=generator, dtype=torch.float64)
    matrix[:, 0] *= 3
    exact = float(torch.linalg.svdvals(matrix)[0])
    assert largest_singular_value(matrix) == pytest.approx(exact, rel=1e-6)


def test_a_product_that_becomes_zero_is_minus_infinity(registry):
    model = build(Variant(activation="relu"), registry, hidden=4)
    with torch.no_grad():
        model.recurrent_layers[0].b.fill_(-1e6)
    layers, _ = replay(model, random_tokens(VOCABULARY, 5, 1, 1))
    assert jacobian_products(layers[0]) == [-math.inf] * 6


def test_row_norms_do_not_underflow():
    rows = torch.tensor([[3e-200, 4e-200], [0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    np.testing.assert_allclose(row_norms(rows).numpy(), [5e-200, 0.0, 5.0], rtol=1e-12)


def test_per_step_is_the_ratio_of_a_geometric_curve():
    assert per_step([3 * 0.9**k for k in range(50)]) == pytest.approx(0.9)
    assert per_step([0.0, *(2.0 * 1.5**k for k in range(9))]) == pytest.approx(1.5)
    assert math.isnan(per_step([1.0]))


def test_a_study_as_json_holds_no_number_that_json_lacks(registry):
    import json

    found = study(registry, Variant(activation="relu", init="normal:0.01"), length=30, jacobian=True)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["states"][0]["median"][0] == pytest.approx(data["reference"])
    assert len(data["log10_largest_singular_value"]) == 30


def test_combinations_vary_the_first_switch_slowest():
    labels = [variant.label for variant in combinations({"cell": ["rnn", "lstm"], "scale": [1.0, 2.0]})]
    assert labels == ["rnn", "rnn ×2", "lstm", "lstm ×2"]


def test_wrong_switches_are_named(registry):
    with pytest.raises(UsageError, match="has no gate 'f'; it has h"):
        build(Variant(bias=(("f", 1.0),)), registry)
    with pytest.raises(UsageError, match="lstm has no activation"):
        build(Variant("lstm", activation="relu"), registry)
    with pytest.raises(UsageError, match="tanh, relu, sigmoid, not 'swish'"):
        build(Variant(activation="swish"), registry)
