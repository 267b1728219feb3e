"""Units whose state follows something readable, by correlation with a list of features of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cells.errors import CelloquyError, UsageError
from cells.state import State
from checkpoints.loading import Loaded
from repl.lab.draw.picture import ColouredText, Panel, Picture, Scale, Table
from repl.lab.features import FEATURES, Feature, Values, present
from repl.lab.reading import pieces_of
from repl.lab.replay import replay

ROWS = 32
"""Parts of the text that are read side by side."""

WARM_UP = 64
"""Tokens at the beginning of each part that only fill the state."""

CHUNK = 128
"""Steps whose states are in memory at once."""

LEAST = 20
"""A feature must be seen so often in each half of the text."""

SHORTEST = ROWS * (WARM_UP + 32)
SNIPPET = 320
"""Characters of text that are shown coloured."""


@dataclass(frozen=True)
class Unit:
    """One number of the state: ``layer`` counts from 1, ``unit`` from 0."""

    layer: int
    state: str
    unit: int

    @property
    def name(self) -> str:
        """``c 37``; with the layer before it where there are several, ``2 c 37``."""
        return f"{self.state} {self.unit}" if self.layer == 1 else f"layer {self.layer} {self.state} {self.unit}"


@dataclass(frozen=True)
class Follower:
    """A unit and the feature it follows: chosen by r on half of the text (``found``), judged by that of the other."""

    feature: Feature
    unit: Unit
    found: float
    correlation: float

    def to_json(self) -> dict[str, Any]:
        """Its numbers."""
        return {
            "feature": self.feature.name,
            "says": self.feature.says,
            "layer": self.unit.layer,
            "state": self.unit.state,
            "unit": self.unit.unit,
            "correlation": round(self.correlation, 6),
            "correlation_when_chosen": round(self.found, 6),
        }


class Correlation:
    """Pearson's r of many columns with several features, gathered chunk by chunk in float64."""

    def __init__(self, columns: int, features: int) -> None:
        self.count = 0
        self.x = torch.zeros(columns, dtype=torch.float64)
        self.xx = torch.zeros(columns, dtype=torch.float64)
        self.f = torch.zeros(features, dtype=torch.float64)
        self.ff = torch.zeros(features, dtype=torch.float64)
        self.fx = torch.zeros(features, columns, dtype=torch.float64)

    def add(self, states: Tensor, features: Tensor) -> None:
        """States [N, columns] and features [N, features] of the same N places."""
        states, features = states.double(), features.double()
        self.count += len(states)
        self.x += states.sum(0)
        self.xx += states.square().sum(0)
        self.f += features.sum(0)
        self.ff += features.square().sum(0)
        self.fx += features.t() @ states

    def r(self) -> Tensor:
        """[features, columns]; 0 where a column or a feature does not vary (or is not finite)."""
        n = max(self.count, 1)
        covariance = self.fx / n - torch.outer(self.f / n, self.x / n)
        spread = torch.outer(_spread(self.f, self.ff, n), _spread(self.x, self.xx, n))
        return torch.nan_to_num(torch.where(spread > 0, covariance / spread, torch.zeros_like(spread)))


def _spread(total: Tensor, squares: Tensor, count: int) -> Tensor:
    mean = total / count
    variance = squares / count - mean.square()
    # what rounding leaves of a constant's variance is not variance
    return torch.where(variance > 1e-12 * squares / count, variance, torch.zeros_like(variance)).sqrt()


def find_followers(loaded: Loaded, text: str, names: Sequence[str] = (), most: int = 3) -> list[Follower]:
    """For each feature of ``text`` the ``most`` units that follow it best, the best-followed feature first.

    The text is cut into parts that are read side by side; units are chosen by |r| on its first half and judged on the
    second, so that a unit which fits by chance does not look better than it is. All states of all layers take part.
    """
    tokens = torch.as_tensor(loaded.tokenizer.encode_array(text), dtype=torch.int64)
    if len(tokens) < SHORTEST:
        raise CelloquyError(f"the text has {len(tokens):,} tokens; at least {SHORTEST:,} are needed to find anything")
    length = len(tokens) // ROWS
    tokens = tokens[: length * ROWS]
    features = _features(loaded, tokens, text, names)
    units = state_units(loaded)
    halves = (Correlation(len(units), len(features)), Correlation(len(units), len(features)))
    table = torch.as_tensor(np.stack([values for _, values in features], 1)).view(ROWS, length, -1).transpose(0, 1)
    _gather(loaded, tokens.view(ROWS, length).t(), table, halves)
    chosen, judged = (half.r() for half in halves)
    followers = []
    for number, (feature, _) in enumerate(features):
        best = chosen[number].abs().argsort(descending=True, stable=True)[:most].tolist()
        group = [Follower(feature, units[i], float(chosen[number, i]), float(judged[number, i])) for i in best]
        followers.append(sorted(group, key=lambda one: -abs(one.correlation)))
    followers.sort(key=lambda group: -abs(group[0].correlation))
    return [one for group in followers for one in group]


def state_units(loaded: Loaded) -> list[Unit]:
    """Every number of the model's state, in the order in which :func:`state_rows` puts them side by side."""
    config = loaded.model.config
    return [
        Unit(layer, state, unit)
        for layer in range(1, config.num_layers + 1)
        for state in loaded.cell.state
        for unit in range(config.hidden_size)
    ]


def state_rows(loaded: Loaded, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
    """All states after each of ``tokens`` [T, B] side by side, [T, B, columns], and the last of them to go on from."""
    with torch.no_grad():
        runs, _ = replay(loaded.model, tokens, state)
    rows = torch.cat([run.stacked(name)[1:] for run in runs for name in run.start], 2)
    return rows, [run.states[-1] for run in runs]


def _gather(loaded: Loaded, tokens: Tensor, features: Tensor, halves: Sequence[Correlation]) -> None:
    state: State | None = None
    for start in range(0, len(tokens), CHUNK):
        rows, state = state_rows(loaded, tokens[start : start + CHUNK], state)
        skip = max(0, WARM_UP - start)
        here = features[start : start + CHUNK]
        for number, half in enumerate(halves):
            part = slice(number * ROWS // 2, (number + 1) * ROWS // 2)
            half.add(rows[skip:, part].flatten(0, 1), here[skip:, part].flatten(0, 1))


def _features(loaded: Loaded, tokens: Tensor, text: str, names: Sequence[str]) -> list[tuple[Feature, Values]]:
    """The features that occur, at the place of each token: that of the last character it completed."""
    known = {feature.name: feature for feature in FEATURES}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no feature {name!r}; there are: {', '.join(known)}")
    places = token_places(loaded, tokens)
    found = [
        (feature, values[places])
        for feature, values in present(text[: int(places[-1]) + 1], LEAST)
        if not names or feature.name in names
    ]
    if not found:
        raise CelloquyError("none of the features occurs often enough in this text; take a longer one")
    return found


def token_places(loaded: Loaded, tokens: Tensor) -> NDArray[np.int64]:
    """For each token the index of the last character that is complete after it; 0 before the first one is."""
    lengths = np.fromiter((len(piece) for piece in pieces_of(loaded.tokenizer, tokens)), np.int64, len(tokens))
    return np.maximum(np.cumsum(lengths) - 1, 0)


def snippet(loaded: Loaded, text: str, follower: Follower) -> ColouredText:
    """A stretch of text in which the feature comes and goes, coloured by the unit's state."""
    start = _lively(follower.feature.compute(text))
    line = text.find("\n", start, start + SNIPPET // 2)
    start = start if line < 0 or start == 0 else line + 1
    start += len(text[start:]) - len(text[start:].lstrip("\n"))
    part = text[max(0, start - WARM_UP) : start + SNIPPET]
    tokens = torch.as_tensor(loaded.tokenizer.encode_array(part), dtype=torch.int64)
    rows, _ = state_rows(loaded, tokens[:, None], None)
    column = state_units(loaded).index(follower.unit)
    lead = len(loaded.tokenizer.encode(text[max(0, start - WARM_UP) : start]))
    values = rows[lead:, 0, column].tolist()
    title = f"{follower.unit.name} follows: {follower.feature.name}, r = {follower.correlation:+.2f}"
    return ColouredText(title, pieces_of(loaded.tokenizer, tokens[lead:]), values, Scale.around_zero([values]))


def _lively(values: Values) -> int:
    """Where a window of the text begins in which a feature varies most."""
    starts = range(0, max(1, len(values) - SNIPPET), SNIPPET // 2)
    return max(starts, key=lambda start: float(values[start : start + SNIPPET].std()))


def neuron_lab(loaded: Loaded, text: str, values: Mapping[str, Any]) -> tuple[Picture, dict[str, Any]]:
    """The picture and the numbers of ``celloquy neurons``."""
    text = text[: values["limit"]]
    followers = find_followers(loaded, text, values["feature"], values["most"])
    best = list({one.feature.name: one for one in reversed(followers)}.values())[::-1]
    panels: list[Panel] = [_table(followers)]
    panels += [snippet(loaded, text, one) for one in best[: values["show"]]]
    note = (
        f"Correlation of single units with features of the first {len(text):,} characters. Units were chosen on one "
        "half of the text; r is that of the other half."
    )
    data = {"checkpoint": loaded.name, "characters": len(text), "followers": [one.to_json() for one in followers]}
    return Picture(f"{loaded.name}: units that follow something readable", panels, note), data


def _table(followers: Sequence[Follower]) -> Table:
    rows, before = [], ""
    for one in followers:
        name = "" if one.feature.name == before else one.feature.name
        says = "" if name == "" else one.feature.says
        rows.append([name, one.unit.name, f"{one.correlation:+.3f}", f"{one.found:+.3f}", says])
        before = one.feature.name
    return Table("", ["feature", "unit", "r", "r when chosen", "which is"], rows)
