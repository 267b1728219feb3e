"""From logits to a token: pure functions on arrays [..., V], in float64. Minus infinity is a token that is banned.

Each filter returns new logits in which what it excludes is minus infinity; what it keeps is unchanged. Order matters
and is the caller's (``repl.chain``): repetition penalty, temperature, then the filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cells.errors import CelloquyError

Array = NDArray[np.float64]

SAFE_TEMPERATURE = 1e-3
"""At this temperature and above, no difference of logits below 1e300 overflows when it is divided."""


def as_logits(values: ArrayLike) -> Array:
    """A float64 copy."""
    copy: Array = np.array(values, dtype=np.float64)
    return copy


def ban(logits: Array, tokens: Iterable[int]) -> Array:
    """Logits without the given tokens."""
    kept: Array = logits.copy()
    kept[..., list(tokens)] = -np.inf
    return kept


def shift(logits: Array) -> Array:
    """The same distribution with the largest logit at 0, so that ``exp`` cannot overflow.

    Infinitely large logits share everything among them. CelloquyError when there is nothing to draw from: every token
    banned, or a logit that is not a number.
    """
    if logits.ndim == 1 and math.isfinite(highest := float(logits.max())):  # one stream, one token: most of all calls
        single: Array = logits - highest
        return single
    top = logits.max(axis=-1, keepdims=True)
    if np.isfinite(top).all():
        shifted: Array = logits - top
        return shifted
    if np.isnan(top).any():
        raise CelloquyError("the model's logits are not numbers (NaN): the checkpoint or the cell is broken")
    if (top == -np.inf).any():
        raise CelloquyError("every token is banned by the sampling options, so there is nothing to draw")
    infinite = np.where(logits == np.inf, 0.0, -np.inf)
    with np.errstate(invalid="ignore"):
        shared: Array = np.where(top == np.inf, infinite, logits - top)
    return shared


def temper(logits: Array, temperature: float) -> Array:
    """Logits divided by the temperature, the largest at 0; temperature 0 keeps only the likeliest, the first of ties.

    Shifted before the division, so that no temperature overflows to infinity or NaN: the largest stays at exactly 0.
    """
    shifted = shift(logits)
    if temperature > 0:
        if temperature >= SAFE_TEMPERATURE:
            shifted /= temperature
            return shifted
        with np.errstate(over="ignore"):
            shifted /= temperature
        return shifted
    first = np.expand_dims(shifted.argmax(axis=-1), -1)
    kept: Array = np.full_like(shifted, -np.inf)
    np.put_along_axis(kept, first, 0.0, axis=-1)
    return kept


def top_k(logits: Array, k: int) -> Array:
    """Only the ``k`` likeliest tokens (Fan, Lewis and Dauphin 2018), of ties the first; 0 keeps all."""
    kept: Array = logits.copy()
    if not 0 < k < logits.shape[-1]:
        return kept
    order = np.argsort(-logits, axis=-1, kind="stable")
    np.put_along_axis(kept, order[..., k:], -np.inf, axis=-1)
    return kept


def top_p(logits: Array, p: float) -> Array:
    """The smallest set of likeliest tokens with a probability of at least ``p`` together (Holtzman et al. 2020).

    At least one token is kept; of ties the first; ``p`` 1 keeps all.
    """
    kept: Array = logits.copy()
    if p >= 1:
        return kept
    order = np.argsort(-logits, axis=-1, kind="stable")
    probabilities = np.take_along_axis(distribution(logits), order, axis=-1)
    before = probabilities.cumsum(axis=-1) - probabilities
    out = before >= p
    out[..., 0] = False
    np.put_along_axis(kept, order, np.where(out, -np.inf, np.take_along_axis(logits, order, axis=-1)), axis=-1)
    return kept


def min_p(logits: Array, p: float) -> Array:
    """Only tokens at least ``p`` times as likely as the likeliest (Nguyen et al. 2024); 0 keeps all."""
    kept: Array = logits.copy()
    if p > 0:
        kept[shift(logits) < math.log(p)] = -np.inf
    return kept


def repetition_penalty(logits: Array, penalty: float, repeated: Sequence[int]) -> Array:
    """Tokens that were used already made less likely (Keskar et al. 2019): a positive logit divided by the penalty,
    a negative one multiplied. Below 1 it favours repetition."""
    kept: Array = logits.copy()
    tokens = sorted(set(repeated))
    if tokens and penalty != 1:
        with np.errstate(over="ignore"):
            chosen = kept[..., tokens]
            positive = chosen > 0
            chosen[positive] /= penalty
            chosen[~positive] *= penalty
        kept[..., tokens] = chosen
    return kept


def distribution(logits: Array) -> Array:
    """Probabilities: the softmax of the logits. They sum to 1, and a banned token has exactly 0."""
    weights = np.exp(shift(logits))
    probabilities: Array = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def draw(logits: Array, u: float | Array) -> NDArray[np.intp]:
    """The token where the cumulative probability first exceeds ``u`` in [0, 1): sampling by the inverse distribution.

    ``u`` is one number, or one for each row [...]. A banned token is never drawn, whatever the rounding.
    """
    cumulative = np.exp(shift(logits)).cumsum(axis=-1)
    total = cumulative[..., -1]
    if cumulative.ndim == 1:
        token = cumulative.searchsorted(u * total, side="right")
        # u * total may round up to the total itself; then it is the last token that has any probability
        return token if token < len(cumulative) else cumulative.searchsorted(total)
    reached = (cumulative <= np.expand_dims(u * total, -1)).sum(axis=-1)
    last = (cumulative < total[..., None]).sum(axis=-1)
    tokens: NDArray[np.intp] = np.minimum(reached, last)
    return tokens


def draw_one(raw: Array, u: float, temperature: float, banned: Sequence[int] = ()) -> int:
    """``draw(temper(ban(raw, banned), temperature), u)`` for one row [V] and a temperature of SAFE_TEMPERATURE or more.

    The same numbers in half the time: this is what an ordinary token costs.
    """
    weights: Array = raw.astype(np.float64)
    for token in banned:
        weights[token] = -math.inf
    top = np.maximum.reduce(weights)
    if not math.isfinite(top):
        return int(draw(temper(weights, temperature), u))
    weights -= top
    weights /= temperature
    cumulative = np.add.accumulate(np.exp(weights, out=weights))
    total = cumulative[-1]
    token = int(cumulative.searchsorted(u * total, side="right"))
    return token if token < len(cumulative) else int(cumulative.searchsorted(total))


def draw_rows(raw: Array, u: Array, temperature: float, banned: Sequence[int] = ()) -> NDArray[np.intp]:
    """:func:`draw_one` for rows [B, V] and a number of ``u`` [B] for each: the same tokens [B]."""
    weights: Array = raw.astype(np.float64)
    for token in banned:
        weights[:, token] = -math.inf
    top = np.maximum.reduce(weights, axis=1, keepdims=True)
    if not np.isfinite(top).all():
        return draw(temper(weights, temperature), u)
    weights -= top
    weights /= temperature
    cumulative = np.add.accumulate(np.exp(weights, out=weights), axis=1)
    place = u * cumulative[:, -1]  # below the total, which is 1 or more, whatever the rounding
    tokens: NDArray[np.intp] = (cumulative > place[:, None]).argmax(axis=1)
    return tokens


def surprises(logits: Array, tokens: ArrayLike) -> Array:
    """-log p(token), in nats, of one token [...] for each row of logits [..., V]."""
    if logits.ndim == 2 and np.isfinite(top := np.maximum.reduce(logits, axis=1, keepdims=True)).all():
        shifted: Array = logits - top  # as below, in two thirds of the time: what every row of a batch costs
        picked: Array = shifted[np.arange(len(shifted)), np.asarray(tokens)]
        of_rows: Array = np.log(np.add.reduce(np.exp(shifted, out=shifted), axis=1)) - picked
        return of_rows
    shifted = shift(logits)
    chosen = np.take_along_axis(shifted, np.expand_dims(np.asarray(tokens), -1), axis=-1)[..., 0]
    nats: Array = np.log(np.exp(shifted).sum(axis=-1)) - chosen
    return nats


def entropies(logits: Array) -> Array:
    """The expected surprise, in nats [...], of each row of logits [..., V]."""
    shifted = shift(logits)
    weights = np.exp(shifted)
    total = weights.sum(axis=-1)
    terms = np.where(weights > 0, shifted, 0.0) * weights
    nats: Array = np.log(total) - terms.sum(axis=-1) / total
    return nats
