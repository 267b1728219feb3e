"""The sampling functions against their definitions, on whatever logits hypothesis can think of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cells.errors import CelloquyError
from repl.randomness import keyed_uniforms, stream_key, uniform, uniform_table
from repl.sampling import (
    SAFE_TEMPERATURE,
    Array,
    ban,
    distribution,
    draw,
    draw_one,
    draw_rows,
    entropies,
    min_p,
    repetition_penalty,
    shift,
    surprises,
    temper,
    top_k,
    top_p,
)

values = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1.0, 1e300, -1e300, math.inf, -math.inf, 5e-324])
anything = arrays(np.float64, st.integers(1, 12), elements=values).filter(lambda row: bool((row > -math.inf).any()))
ordinary = arrays(np.float64, st.integers(1, 12), elements=st.floats(-30, 30))
temperatures = st.floats(0, 1e308) | st.sampled_from([0.0, 5e-324, 1e-300, 1e-30, 1e308])
numbers = st.floats(0, 1, exclude_max=True)


def kept(logits: Array) -> set[int]:
    return {int(token) for token in np.flatnonzero(logits > -math.inf)}


@given(anything, temperatures)
def test_every_temperature_gives_a_distribution(logits: Array, temperature: float) -> None:
    probabilities = distribution(temper(logits, temperature))
    assert np.isfinite(probabilities).all()
    assert math.isclose(probabilities.sum(), 1)
    assert (probabilities[logits == -math.inf] == 0).all()


@given(ordinary, st.floats(0.01, 100))
def test_the_temperature_divides_the_logits(logits: Array, temperature: float) -> None:
    weights = [math.exp((value - max(logits)) / temperature) for value in logits]
    expected = np.array(weights) / math.fsum(weights)
    assert np.allclose(distribution(temper(logits, temperature)), expected, atol=1e-12)


@given(anything, numbers)
def test_temperature_0_takes_the_first_of_the_largest(logits: Array, u: float) -> None:
    assert int(draw(temper(logits, 0), u)) == int(np.argmax(logits))


@given(anything)
def test_the_smallest_temperature_leaves_only_the_largest(logits: Array) -> None:
    largest = set(np.flatnonzero(shift(logits) > -1e-300).tolist())
    assert set(np.flatnonzero(distribution(temper(logits, 5e-324))).tolist()) <= largest


@given(ordinary)
def test_a_huge_temperature_makes_all_tokens_equal(logits: Array) -> None:
    assert np.allclose(distribution(temper(logits, 1e300)), 1 / len(logits))


@given(anything, st.integers(0, 20))
def test_top_k_keeps_the_k_likeliest_unchanged(logits: Array, k: int) -> None:
    filtered = top_k(logits, k)
    stays = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[: k or len(logits)]
    assert kept(filtered) == set(stays) & kept(logits)
    assert all(filtered[token] == logits[token] for token in stays)


@given(ordinary, st.floats(0, 1))
def test_top_p_keeps_the_smallest_likely_set(logits: Array, p: float) -> None:
    stays = kept(top_p(logits, p))
    probabilities = distribution(logits)
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    assert stays == set(order[: len(stays)])
    assert math.fsum(probabilities[list(stays)]) >= p - 1e-9
    if len(stays) > 1:
        assert math.fsum(probabilities[order[: len(stays) - 1]]) < p + 1e-9


@given(ordinary, st.floats(0, 1))
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(logits: Array, p: float) -> None:
    probabilities = distribution(logits)
    stays = kept(min_p(logits, p))
    limit = p * probabilities.max()
    for token, probability in enumerate(probabilities):
        if not math.isclose(probability, limit, rel_tol=1e-9):
            assert (token in stays) == (probability > limit)
    assert int(np.argmax(logits)) in stays


@given(ordinary, st.floats(0.1, 10), st.sets(st.integers(0, 2)))
def test_the_penalty_divides_positive_logits_and_multiplies_negative_ones(
    logits: Array, penalty: float, used: set[int]
) -> None:
    used = {token for token in used if token < len(logits)}
    changed = repetition_penalty(logits, penalty, list(used))
    for token, value in enumerate(logits):
        expected = value if token not in used else value / penalty if value > 0 else value * penalty
        assert changed[token] == expected


@given(anything, numbers)
def test_a_banned_token_is_never_drawn(logits: Array, u: float) -> None:
    assert logits[int(draw(logits, u))] > -math.inf


@given(ordinary, numbers)
def test_the_draw_inverts_the_cumulative_distribution(logits: Array, u: float) -> None:
    cumulative = np.cumsum(distribution(logits))
    token = int(draw(logits, u))
    assert (cumulative[token - 1] if token else 0) <= u + 1e-12
    assert u <= cumulative[token] + 1e-12


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_rows_are_drawn_together_as_they_are_alone(rows: int, size: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(rows, size)) * 5
    u = keyed_uniforms([stream_key(seed, row) for row in range(rows)], 0)
    together = draw(temper(logits, 0.7), u)
    assert together.tolist() == [int(draw(temper(row, 0.7), x)) for row, x in zip(logits, u, strict=True)]


@given(ordinary)
def test_surprise_and_entropy_are_those_of_the_softmax(logits: Array) -> None:
    probabilities = distribution(logits)
    losses = surprises(np.stack([logits] * len(logits)), np.arange(len(logits)))
    assert np.allclose(np.exp(-losses), probabilities)
    assert math.isclose(float(entropies(logits)), math.fsum(probabilities * losses), abs_tol=1e-9)


@given(anything)
def test_no_function_changes_its_argument(logits: Array) -> None:
    before = logits.copy()
    for change in (shift, lambda x: temper(x, 0.5), lambda x: temper(x, 0), lambda x: top_k(x, 1)):
        change(logits)
    for change in (lambda x: top_p(x, 0.5), lambda x: min_p(x, 0.5), lambda x: repetition_penalty(x, 2, [0])):
        change(logits)
    assert np.array_equal(logits, before)


def test_nothing_left_to_draw_is_an_error() -> None:
    with pytest.raises(CelloquyError, match="every token is banned"):
        draw(ban(np.zeros(3), range(3)), 0.5)


def test_logits_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(CelloquyError, match="NaN"):
        temper(np.array([0.0, math.nan]), 0.8)


@given(st.integers(0, 2**70), st.integers(0, 10**6), st.integers(0, 10**9))
def test_the_same_place_always_has_the_same_number(seed: int, sample: int, index: int) -> None:
    number = uniform(seed, sample, index)
    assert 0 <= number < 1
    assert number == uniform(seed, sample, index)


def test_random_numbers_are_uniform_and_unrelated_between_streams() -> None:
    streams = np.array([[uniform(seed, sample, n) for n in range(4000)] for seed in (0, 1) for sample in (0, 1)])
    histogram = np.stack([np.histogram(row, bins=20, range=(0, 1))[0] for row in streams])
    assert ((histogram - 200) ** 2 / 200).sum(axis=1).max() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001
    correlation = np.corrcoef(streams)
    assert np.abs(correlation - np.eye(4)).max() < 0.06
    assert abs(np.corrcoef(streams[0, 1:], streams[0, :-1])[0, 1]) < 0.06


def test_seeds_of_any_size_differ() -> None:
    seeds = [0, 1, 2, 2**32, 2**64 - 1, 2**64, 2**64 + 1, 2**200]
    assert len({uniform(seed, 0, 0) for seed in seeds}) == len(seeds)


@given(anything, st.floats(SAFE_TEMPERATURE, 1e300), numbers, st.sets(st.integers(0, 11), max_size=3))
def test_the_short_way_draws_what_the_long_way_draws(
    logits: Array, temperature: float, u: float, banned: set[int]
) -> None:
    banned = {token for token in banned if token < len(logits)}
    before = logits.copy()
    try:
        expected = int(draw(temper(ban(logits, banned), temperature), u))
    except CelloquyError:
        with pytest.raises(CelloquyError):
            draw_one(logits, u, temperature, sorted(banned))
        return
    assert draw_one(logits, u, temperature, sorted(banned)) == expected
    assert draw_rows(logits[None], np.array([u]), temperature, sorted(banned)).tolist() == [expected]
    assert np.array_equal(logits, before)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000), st.sets(st.integers(0, 8), max_size=1))
def test_the_short_way_draws_rows_together_as_alone(rows: int, size: int, seed: int, banned: set[int]) -> None:
    banned = {token for token in banned if token < size - 1}
    logits = np.random.default_rng(seed).normal(size=(rows, size)) * 5
    u = keyed_uniforms([stream_key(seed, row) for row in range(rows)], 0)
    u[0] = 1 - 2**-53  # the largest there is
    together = draw_rows(logits, u, 0.7, sorted(banned))
    alone = [draw_one(row, x, 0.7, sorted(banned)) for row, x in zip(logits, u, strict=True)]
    assert together.tolist() == alone


@pytest.mark.parametrize("strange", [math.inf, math.nan, -math.inf])
def test_a_strange_row_beside_good_ones_is_drawn_or_told_as_alone(strange: float) -> None:
    rows = np.random.default_rng(5).normal(size=(3, 6))
    rows[1] = strange
    u = np.array([0.2, 0.4, 0.9])
    try:
        alone = [draw_one(row, x, 0.7) for row, x in zip(rows, u, strict=True)]
    except CelloquyError as error:
        with pytest.raises(CelloquyError, match=str(error)[:20]):
            draw_rows(rows, u, 0.7)
        return
    assert draw_rows(rows, u, 0.7).tolist() == alone


def test_a_table_of_random_numbers_has_those_of_every_step():
    keys = np.array([stream_key(seed, 3) for seed in range(5)], dtype=np.uint64)
    table = uniform_table(keys, 7, 4)
    assert table.shape == (4, 5)
    for step, row in enumerate(table):
        assert row.tolist() == keyed_uniforms(keys, 7 + step).tolist()


def test_surprises_of_rows_are_those_of_each(recwarn):
    """Infinite logits too, where all of what is possible is shared among them."""
    logits = np.array([[0.5, 1.5, -2.0], [np.inf, 0.0, np.inf], [-np.inf, 3.0, 1e308], [1e308, 1e308, 0.0]])
    tokens = np.array([2, 0, 1, 1])
    with np.errstate(over="ignore"):
        alone = [float(surprises(row, token)) for row, token in zip(logits, tokens, strict=True)]
        assert surprises(logits, tokens).tolist() == alone
    assert not recwarn.list
