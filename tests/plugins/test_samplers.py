"""Samplers as plugins: registered by hook, fenced, and the two that ship against their definitions."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cells.errors import CelloquyError
from plugins.hookspecs import hookimpl
from plugins.mirostat import Mirostat
from plugins.options import Option
from plugins.registry import Registry, load_plugins
from plugins.sampler import Sampler, Stream
from plugins.typical import Typical

rows = st.lists(st.floats(-20, 20), min_size=1, max_size=30)
STRENGTH = Option("strength", float, 0.0, "How strong.", minimum=0)


class Strong(Sampler):
    """Scales the logits."""

    name = "strong"
    options = (STRENGTH,)
    order = 250

    def transform(self, logits: Tensor, values: Any, streams: Any) -> Tensor:
        """A sharper distribution."""
        return logits * (1 + values["strength"])


def registry_of(*targets: Any, **keywords: Any) -> Registry:
    class Plugin:
        @hookimpl
        def register_samplers(self, register: Any) -> None:
            """Those of the test."""
            for target in targets:
                register(target, **keywords)

    registry = load_plugins()
    before = len(registry.failures)
    from plugins.sources import Source

    registry.add(Source("strange", "celloquy-strange", "1.0", "here", Plugin))
    assert before == 0
    return registry


def entry_of(sampler: type[Sampler]) -> Any:
    return next(entry for entry in registry_of(sampler).samplers if entry.name == sampler.name)


def test_sampler_and_its_options_are_found_in_the_order_of_action() -> None:
    registry = registry_of(Strong)
    assert registry.failures == []
    assert [entry.name for entry in registry.samplers] == [
        *("logit-bias", "banned", "form", "strong", "typical", "mirostat")
    ]
    assert [option.name for option in registry.sampler_options][5:7] == ["strength", "typical-p"]


def test_sampler_at_neutral_values_is_not_active() -> None:
    entry = entry_of(Strong)
    assert not entry.active({"strength": 0.0})
    assert not entry.active({})
    assert entry.active({"strength": 0.1})


def test_lazy_sampler_is_imported_only_when_used() -> None:
    code = (
        "import sys; from plugins.registry import load_plugins; r = load_plugins(); "
        "assert 'typical_p' in r.sampler_options; assert 'torch' not in sys.modules; "
        "[e.active(r.sampler_options.defaults()) for e in r.samplers]; assert 'torch' not in sys.modules; "
        "[e.active({'typical_p': 0.5}) for e in r.samplers]; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def named(option: Option, sampler: str = "mine") -> type[Sampler]:
    return type("Mine", (Strong,), {"name": sampler, "options": (option,)})


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (named(Option("temperature", float, 1.0, "")), "temperature is the program's own"),
        (named(Option("heat-up", float, 1.0, "", command="heat")), "heat is the program's own"),
        (named(Option("x", float, 1.0, "", short="-t")), "-t is the program's own"),
        (named(Option("typical-p", float, 1.0, "")), "option typical-p belongs to typical (celloquy"),
        (named(STRENGTH, "typical"), "'typical' belongs to typical (celloquy"),
        (type("Mine", (Strong,), {"name": "Bad Name"}), "lower-case"),
        (type("Mine", (Strong,), {"name": "mine", "options": ()}), "without an option"),
        (type("Mine", (Strong,), {"name": "mine", "options": ("x",)}), "'x' is not an Option"),
        (type("Mine", (Strong,), {"name": "mine", "order": "first"}), "order must be a number"),
        (type("Mine", (Strong,), {"name": "mine", "options": (STRENGTH, STRENGTH)}), "declared twice"),
        ("a.module:Sampler", "needs name="),
        (int, "neither a subclass of Sampler"),
        (type("Mine", (Sampler,), {"name": "mine", "options": (STRENGTH,)}), "class Mine does not define transform"),
    ],
)
def test_sampler_that_cannot_be_registered_is_reported_and_the_others_stay(target: Any, told: str) -> None:
    registry = registry_of(target)
    (failure,) = registry.failures
    assert told in str(failure)
    assert str(failure).startswith("plugin strange of celloquy-strange 1.0: ")
    assert [entry.name for entry in registry.samplers] == ["logit-bias", "banned", "form", "typical", "mirostat"]


def returning(value: Any) -> type[Sampler]:
    def transform(self: Any, logits: Tensor, values: Any, streams: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value(logits)

    return type("Mine", (Strong,), {"name": "mine", "transform": transform})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (SystemExit(1), "SystemExit: 1"),
        (lambda logits: logits[0], "must return logits of shape (2, 3), not (3,)"),
        (lambda logits: None, "must return logits of shape (2, 3), not NoneType"),
        (lambda logits: logits * float("nan"), "NaN"),
        (lambda logits: logits - float("inf"), "no token to draw"),
        (lambda logits: logits + float("inf"), "infinity"),
    ],
)
def test_sampler_that_fails_is_an_error_that_names_it(value: Any, told: str) -> None:
    entry = entry_of(returning(value))
    with pytest.raises(CelloquyError, match=r"^sampler mine \(celloquy-strange 1\.0\): ") as caught:
        entry.transform(torch.zeros(2, 3), {"strength": 1.0}, [Stream(), Stream()])
    assert told in str(caught.value)


class Unfinished(Sampler):
    """A sampler whose author forgot what it is for."""


def test_lazy_sampler_without_a_transform_is_named_when_it_is_used() -> None:
    registry = registry_of(f"{__name__}:Unfinished", name="unfinished", options=(STRENGTH,), order=1)
    entry = next(entry for entry in registry.samplers if entry.name == "unfinished")
    told = r"^sampler unfinished \(celloquy-strange 1\.0\): class Unfinished does not define transform$"
    with pytest.raises(CelloquyError, match=told):
        entry.active({"strength": 1.0})


def test_what_a_sampler_prints_does_not_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    def loud(logits: Tensor) -> Tensor:
        print("loud")
        return logits

    entry = entry_of(returning(loud))
    for _ in range(2):
        entry.transform(torch.zeros(2, 3), {}, [Stream(), Stream()])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "warning: sampler mine (celloquy-strange 1.0) prints to standard output; the text is left out\n"
    )


def test_copy_of_a_stream_shares_nothing() -> None:
    stream = Stream([1], {"a": 1})
    copy = stream.copy()
    copy.history.append(2)
    copy.memory["a"] = 2
    assert stream == Stream([1], {"a": 1})


def kept(sampler: Sampler, logits: Tensor, values: Any, streams: Any = None) -> list[list[int]]:
    before = logits.clone()
    new = sampler.transform(logits, values, streams or [Stream() for _ in logits])
    assert torch.equal(logits, before)
    alive = new.isfinite()
    assert torch.equal(new[alive], logits[alive])
    return [row.nonzero().flatten().tolist() for row in alive]


@given(rows, st.floats(0.01, 1.0, exclude_max=True))
def test_typical_keeps_the_smallest_most_typical_set_with_the_mass(row: list[float], mass: float) -> None:
    logits = torch.tensor([row], dtype=torch.float64)
    (found,) = kept(Typical(), logits, {"typical_p": mass})
    p = logits.softmax(-1)[0].tolist()
    entropy = -sum(q * math.log(q) for q in p if q > 0)
    distance = [abs(entropy + math.log(q)) for q in p]
    worst = max(distance[i] for i in found)
    assert sum(p[i] for i in found) >= mass - 1e-9
    assert all(distance[i] >= worst - 1e-9 for i in range(len(p)) if i not in found)
    smaller = [i for i in found if distance[i] < worst]
    if len(smaller) == len(found) - 1:
        assert sum(p[i] for i in smaller) < mass + 1e-9


def test_typical_can_ban_the_likeliest_token() -> None:
    p = torch.tensor([[0.4] + [0.06] * 10])
    (found,) = kept(Typical(), p.log(), {"typical_p": 0.5})
    assert 0 not in found


def test_typical_leaves_banned_tokens_banned() -> None:
    logits = torch.tensor([[1.0, float("-inf"), 0.5]])
    new = Typical().transform(logits, {"typical_p": 0.999}, [Stream()])
    assert new[0, 1] == float("-inf")
    assert not new.isnan().any()


@given(rows, st.floats(0.1, 10))
def test_mirostat_bans_what_surprises_more_than_mu_but_never_everything(row: list[float], target: float) -> None:
    logits = torch.tensor([row], dtype=torch.float64)
    (found,) = kept(Mirostat(), logits, {"mirostat": target, "mirostat_rate": 0.1})
    surprise = (-logits.log_softmax(-1))[0]
    best = surprise.min()
    assert found == [i for i, s in enumerate(surprise) if s <= 2 * target or logits[0, i] == logits.max()]
    assert any(surprise[i] == best for i in found)


def test_mirostat_treats_each_row_by_its_own_memory() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 2)
    strict, free = Stream(memory={"mirostat.mu": 0.5}), Stream(memory={"mirostat.mu": 9.0})
    found = kept(Mirostat(), logits, {"mirostat": 1.0, "mirostat_rate": 0.1}, [strict, free])
    assert found == [[0], [0, 1, 2]]


@pytest.mark.parametrize("target", [1.5, 2.0, 2.5])
def test_mirostat_steers_the_texts_surprise_to_its_target(target: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sampler, stream = Mirostat(), Stream()
    values = {"mirostat": target, "mirostat_rate": 0.1}
    surprises = []
    for _ in range(3000):
        logits = 2.0 * torch.randn(1, 60, generator=generator)
        p = sampler.transform(logits, values, [stream]).softmax(-1)
        token = int(torch.multinomial(p, 1, generator=generator))
        surprise = -float(logits.log_softmax(-1)[0, token])
        sampler.observe(token, surprise, values, stream)
        surprises.append(surprise)
    assert abs(sum(surprises[200:]) / 2800 - target) < 0.05
