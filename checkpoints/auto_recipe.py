"""``--recipe auto``: sizes, regularisation and optimisation from the corpus, the budget and the machine's speed.

Pure arithmetic: the same figures give the same choice. What is given on the command line stays as given, and the rest
is chosen around it. The constants were fitted to short runs on texts of 100 KB to 6 MB (docs/training.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from checkpoints.options import BUDGETS, TRAIN_OPTIONS

AUTO = "auto"
"""What ``--recipe`` is given for it."""

SIZES = (
    *((1, hidden) for hidden in (*range(64, 256, 32), *range(256, 1025, 64))),
    *((2, hidden) for hidden in range(640, 2049, 128)),
)
"""(layers, units) to choose from: multiples of 32, which decoding likes; a second layer before more than 1,024."""

TEXT_ROOT = 4_200.0
"""Parameters that a text bears, regularised: TEXT_ROOT times the root of its tokens; 1.3 million for 100 KB, 4.2 for
1 MB."""

READ_ROOT, READ_EACH = 4_500.0, 4.0
"""Tokens that are to be read before a model of P parameters is worth its slowness: READ_ROOT times the root of P, and
READ_EACH for each."""

TRAINING_SHARE = 0.9
"""The part of a budget of time that goes into steps; validation and saving take the rest."""

BATCH, BPTT = 64, 128
SMALLER = ((64, 128), (64, 64), (32, 64))
"""(batch, bptt), the first of which that leaves ENOUGH_STEPS is taken, or else the last: in a short run the number of
steps counts for more than their size."""

ENOUGH_STEPS = 2000
CARRIED = 4
"""Pieces of ``bptt`` tokens that a row should have at least, so that there is a state to carry."""

MOST_DROPOUT = 0.5
PENALISED = 12
"""Readings of a text from which on the penalties on outputs are worth more than they cost."""

ACTIVATION_PENALTY, TEMPORAL_PENALTY = 2.0, 1.0
"""Those of Merity, Keskar and Socher 2018 for words, and what was tried here on characters (docs/training.md)."""

RESET = 0.02
"""Share of the rows that begin each batch without a past. A state that is always carried leaves beginning untaught:
with 512 units and dropout 0.5 on 100 KB, models were lost for ever after one or two beginnings in a hundred."""

MOST_WARMUP = 200


@dataclass(frozen=True)
class Speed:
    """Seconds of training for a token: ``base`` for each layer, and ``each`` for every multiply-add of its products."""

    base: float
    each: float

    def seconds(self, layers: int, multiplied: float) -> float:
        """Seconds for one token in a model of so many layers and multiply-adds."""
        return self.base * layers + self.each * multiplied


@dataclass(frozen=True)
class Facts:
    """What the choice rests on: tokens to train on, the vocabulary's size, the cell's gates (those fed by the input,
    and those fed by recurrent matrices, in all), and the machine's speed, which only a budget of time needs."""

    tokens: int
    vocabulary: int
    gates: int
    recurrent: int
    speed: Speed | None = None


@dataclass(frozen=True)
class Chosen:
    """Option values by key, with what was expected of them."""

    values: dict[str, Any]
    parameters: int
    read: float
    facts: Facts

    @property
    def told(self) -> str:
        """What was chosen and why, in one line."""
        what = ", ".join(f"{TRAIN_OPTIONS[key].name} {_shown(value)}" for key, value in self.values.items())
        facts = self.facts
        speed = "" if facts.speed is None else " at the speed measured here"
        often = _shown(self.read / facts.tokens)
        why = f"{facts.tokens:,} tokens of {facts.vocabulary:,} kinds, read {often} times{speed}"
        return f"{what or 'nothing to choose'} ({why}; {_shown(self.parameters / facts.tokens)} parameters a token)"


def needs_speed(given: Mapping[str, Any]) -> bool:
    """Whether the choice depends on how fast this machine is: unless steps or epochs are given."""
    return given.get("epochs") is None and given.get("steps") is None


def choose(facts: Facts, given: Mapping[str, Any]) -> Chosen:
    """Values for what ``given``, options by key, leaves open."""
    budget = {key: given[key] for key in BUDGETS if given.get(key) is not None}
    chosen: dict[str, Any] = {} if budget else {"minutes": _minutes(facts.tokens)}
    budget = budget or chosen
    embed = given.get("embed", 0 if given.get("tie") else _embedding(facts.vocabulary))
    sizes = _sizes(given)

    def parameters(size: tuple[int, int]) -> int:
        return parameter_count(facts, *size, embed)

    def readable(size: tuple[int, int]) -> float:
        return _tokens_read(facts, budget, size, given)

    fitting = [
        size
        for size in sizes
        if parameters(size) <= text_limit(facts.tokens) and readable(size) >= worth_reading(parameters(size))
    ]
    layers, hidden = max(fitting, key=parameters) if fitting else min(sizes, key=parameters)
    count, read = parameters((layers, hidden)), readable((layers, hidden))
    batch, bptt = _batch(facts, read, given)
    steps = budget["steps"] if "steps" in budget else read / (batch * bptt)
    values: dict[str, Any] = {
        "hidden": hidden,
        "layers": layers,
        "embed": min(embed, hidden),
        "dropout": dropout(read / facts.tokens, count / facts.tokens),
        "batch": batch,
        "bptt": bptt,
        "lr": _rate(facts, hidden, layers),
        "warmup": min(MOST_WARMUP, int(steps / 50)),
        "reset": RESET,
    }
    if read >= PENALISED * facts.tokens:
        values |= {"activation_penalty": ACTIVATION_PENALTY, "temporal_penalty": TEMPORAL_PENALTY}
    if given.get("sampling") == "random":  # no state is carried
        del values["reset"]
    return Chosen(chosen | {key: value for key, value in values.items() if key not in given}, count, read, facts)


def parameter_count(facts: Facts, layers: int, hidden: int, embed: int) -> int:
    """Parameters of a model, but for the cell's own vectors. ``embed`` 0 means ``hidden``."""
    first = min(embed, hidden) or hidden
    inner = facts.gates * hidden * (first + 1) + facts.recurrent * hidden * hidden
    inner += (layers - 1) * (facts.gates * (hidden + 1) + facts.recurrent * hidden) * hidden
    return inner + facts.vocabulary * (first + hidden + 1)


def multiplied(facts: Facts, layers: int, hidden: int) -> int:
    """Multiply-adds for one token; the first layer's input comes from a table."""
    recurrent = layers * facts.recurrent + (layers - 1) * facts.gates
    return (recurrent * hidden + facts.vocabulary) * hidden


def text_limit(tokens: int) -> float:
    """Parameters that a text of so many tokens bears."""
    return TEXT_ROOT * math.sqrt(tokens)


def worth_reading(parameters: int) -> float:
    """Tokens that a model of so many parameters has to read to be better than a smaller one."""
    return max(READ_ROOT * math.sqrt(parameters), READ_EACH * parameters)


def dropout(readings: float, ratio: float) -> float:
    """The share to drop, in steps of 0.05: 0.1 more with every doubling of the ``ratio`` of parameters to tokens, and
    half of that with every doubling of the ``readings``; at most 0.1 for each of these, so that a text that is read
    once is learned without."""
    often = math.log2(max(readings, 1e-9))
    pressure = math.log2(max(ratio, 1e-9)) + often / 2
    return round(20 * min(MOST_DROPOUT, max(0.0, min(0.1 + 0.1 * pressure, 0.1 * often)))) / 20


def _tokens_read(facts: Facts, budget: Mapping[str, Any], size: tuple[int, int], given: Mapping[str, Any]) -> float:
    """Tokens that a model of this size reads within the budget."""
    if "epochs" in budget:
        return float(budget["epochs"] * facts.tokens)
    if "steps" in budget:
        return float(budget["steps"] * given.get("batch", BATCH) * given.get("bptt", BPTT))
    if facts.speed is None:
        raise ValueError("a budget of time needs the machine's speed")
    layers, hidden = size
    seconds = facts.speed.seconds(layers, multiplied(facts, layers, hidden))
    return TRAINING_SHARE * 60 * float(budget["minutes"]) / seconds


def _sizes(given: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(layers, units) that may be chosen: those of SIZES, or for what is given of them every value of the other."""
    if not given.keys() & {"layers", "hidden"}:
        return list(SIZES)
    depths = [given["layers"]] if "layers" in given else [1, 2]
    widths = [given["hidden"]] if "hidden" in given else sorted({hidden for _, hidden in SIZES})
    return [(layers, hidden) for layers in depths for hidden in widths]


def _batch(facts: Facts, read: float, given: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and steps of a batch; the rows are a power of two that the text can fill."""
    known = [(given.get("batch", rows), given.get("bptt", length)) for rows, length in SMALLER]
    if given.get("steps") is not None:
        known = known[:1]
    rows, length = next((one for one in known if read >= ENOUGH_STEPS * one[0] * one[1]), known[-1])
    if "batch" not in given:
        rows = min(rows, 1 << (max(1, facts.tokens // (CARRIED * length)).bit_length() - 1))
    return rows, length


def _minutes(tokens: int) -> int:
    """A budget where none is given: 5 minutes for a million tokens, twice as long for four times the text."""
    return round(min(60.0, max(2.0, 5 * math.sqrt(tokens / 1e6))))


def _embedding(vocabulary: int) -> int:
    return 64 if vocabulary <= 512 else 128 if vocabulary <= 8192 else 256


def _rate(facts: Facts, hidden: int, layers: int) -> float:
    """The highest learning rate: lower for wide and deep models, and for a cell that no gate holds in check."""
    rate = 3e-3 * math.sqrt(512 / hidden / layers) * (0.5 if facts.gates == 1 else 1.0)
    return float(f"{min(8e-3, max(5e-4, rate)):.1e}")


def _shown(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


LEFT_OUT = ("name", "out", "recipe", "resume", "verbose", "tensorboard", "allow_changed_corpus")
"""Options that a recipe file does not repeat: where a run stands, and how it is watched."""


def recipe_file_text(values: Mapping[str, Any], comment: str) -> str:
    """Option values by key as a recipe file that ``--recipe FILE.toml`` reads."""
    lines = [f"# {' '.join(comment.split())}"]
    for key, value in values.items():
        if key not in LEFT_OUT and value is not None:
            lines.append(f"{TRAIN_OPTIONS[key].name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML writes it: as JSON, which alone may leave DEL as it is."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False).replace("\x7f", "\\u007f")
