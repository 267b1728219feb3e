"""The conformance kit: each check finds the fault it is for, and finds it alone."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import torch
from torch import Tensor, sigmoid, tanh

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from plugins.conformance import check_cell, conformance_checks
from plugins.conformance.kit import CHECKS, MEASUREMENTS
from plugins.registry import load_plugins

STATE = dict[str, Tensor]
ALL = tuple(name for name in CHECKS if name not in MEASUREMENTS)


class Sound(Cell):
    """The plain network that each broken cell below spoils in one way."""

    input = "h"
    recurrent = {"h": "h"}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        """One step."""
        return {"h": tanh(x.h + R.h(s.h).h)}


class SoundAffine(Cell):
    """The plain affine cell."""

    input = "zh"
    affine = True

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        """One step."""
        z = sigmoid(x.z)
        return {"h": (1 - z) * s.h + z * x.h}


class ContradictsItself(Sound):
    bias = {"f": 1.0}


class SqueezesAway(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h + R.h(s.h).h).squeeze()}


class KnowsOneDtype(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h + R.h(s.h).h + torch.zeros(x.h.shape))}


class LivesOnTheProcessor(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h + R.h(s.h).h + torch.zeros(x.h.shape, dtype=x.h.dtype))}


class CutsTheGradient(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h + R.h(s.h).h + 0.5 * s.h.detach())}


class CountsDimensions(SoundAffine):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        z = sigmoid(x.z) if x.z.dim() == 2 else 0.9 * sigmoid(x.z)
        return {"h": (1 - z) * s.h + z * x.h}


class CountsSteps(SoundAffine):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        odd = x.z.dim() == 3 and x.z.shape[0] % 2 == 1
        z = sigmoid(x.z) * (0.9 if odd else 1.0)
        return {"h": (1 - z) * s.h + z * x.h}


class MixesRows(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        z = x.h + R.h(s.h).h
        return {"h": tanh(z - 0.1 * z.mean(0, keepdim=True))}


class LooksAhead(SoundAffine):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        z = sigmoid(x.z + 0 * x.z.sum(0, keepdim=True))
        return {"h": (1 - z) * s.h + z * x.h}


class Remembers(Sound):
    calls = 0

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        self.calls += 1
        return super().step(x, s, R, p)


class Prints(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        print("step")
        return super().step(x, s, R, p)


class DrawsUnused(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        torch.rand(1)
        return super().step(x, s, R, p)


class WritesItsArgument(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        with torch.no_grad():
            s.h.mul_(1.0)
        return super().step(x, s, R, p)


class ExplodesWherePadded(Cell):
    """An exponential gate without a stabiliser."""

    input = "ifgo"
    recurrent = {"h": "ifgo"}
    state = {"h": 0.0, "c": 0.0, "n": 1.0}

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        z = x + R.h(s.h)
        i, f = torch.exp(z.i), sigmoid(z.f)
        c, n = f * s.c + i * tanh(z.g), f * s.n + i
        return {"h": sigmoid(z.o) * c / n, "c": c, "n": n}


class LeavesAVectorUnused(Sound):
    vectors = {"v": 0.0}


class Grows(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": 1.1 * s.h + tanh(x.h + R.h(s.h).h)}


class Smuggles(Sound):
    """Hides a count of steps on the state's tensor, where no file can hold it."""

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        count = getattr(s.h, "count", 0)
        h = tanh(x.h + R.h(s.h).h) * (1 + 0.1 * (count % 2))
        h.count = count + 1
        return {"h": h}


class ForgetsItsGain(Sound):
    def __init__(self) -> None:
        self.gain = random.uniform(0.5, 1.5)

    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(self.gain * x.h + R.h(s.h).h)}


class Branches(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        if s.h.sum() > 1e30:
            return {"h": s.h}
        return super().step(x, s, R, p)


class Masks(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        h = tanh(x.h + R.h(s.h).h)
        return {"h": h + 0 * h[h > -2].sum()}


class ClampsFarAway(SoundAffine):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        z = sigmoid(x.z)
        return {"h": (1 - z) * s.h.clamp(-100, 100) + z * x.h}


class HasAWrongKernel(Sound):
    """Its step is right; the kernel that the test offers for it is not."""


class HasNoMemory(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h + 1e-6 * R.h(s.h).h)}


BROKEN: list[tuple[str, type[Cell]]] = [
    ("declaration", ContradictsItself),
    ("shapes", SqueezesAway),
    ("dtype and device", KnowsOneDtype),
    ("dtype and device", LivesOnTheProcessor),
    ("purity", Remembers),
    ("purity", Prints),
    ("purity", DrawsUnused),
    ("no data-dependent branch", Branches),
    ("no data-dependent branch", Masks),
    ("gradients", CutsTheGradient),
    ("every parameter used", LeavesAVectorUnused),
    ("sequence equals steps", CountsDimensions),
    ("chunks equal whole", CountsSteps),
    ("batch rows independent", MixesRows),
    ("causality", LooksAhead),
    ("masked rows", ExplodesWherePadded),
    ("affine", ClampsFarAway),
    ("finite at length 2000", Grows),
    ("saved state", Smuggles),
    ("checkpoint", ForgetsItsGain),
    ("kernel equals step", HasAWrongKernel),
    ("learns to copy", HasNoMemory),
]


def wrong_kernel_hook(cell: Any, device: Any, dtype: Any, training: bool) -> Any:
    """A kernel that is wrong, for one cell."""

    def kernel(layer: Any, x: Tensor, state: STATE) -> Any:
        y, final = layer(x, state)
        return y * 1.01, final

    return kernel if isinstance(cell, HasAWrongKernel) else None


@pytest.mark.parametrize(("check", "cell"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_broken_cell_fails_its_check_and_no_other(check: str, cell: type[Cell]) -> None:
    report = check_cell(cell, ALL, kernel_hooks=[("test", wrong_kernel_hook)])
    assert [outcome.check for outcome in report.failed] == [check], str(report)
    assert "\n" not in report.failed[0].message
    assert report.failed[0].message


def test_step_that_writes_into_its_argument_fails_purity() -> None:
    (failure,) = check_cell(WritesItsArgument, ["purity"]).failed
    assert failure.message == "step changes its argument s.h in place"


def test_every_check_has_a_broken_cell() -> None:
    assert {check for check, _ in BROKEN} == set(ALL)


@pytest.mark.parametrize("cell", [Sound, SoundAffine])
def test_sound_cell_passes_every_check(cell: type[Cell]) -> None:
    report = check_cell(cell)
    assert report.ok, str(report)
    assert [outcome.check for outcome in report.outcomes] == list(CHECKS)


@pytest.mark.parametrize("name", list(load_plugins().cells))
def test_cell_that_ships_passes_every_check(name: str) -> None:
    report = check_cell(load_plugins().cell_class(name), ALL)
    assert report.ok, str(report)


class AllUses(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        return {"h": tanh(x.h), "extra": x.h}


class Raises(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        raise ValueError("no")


class Leaves(Sound):
    def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
        raise SystemExit(4)


@pytest.mark.parametrize(("cell", "told"), [(AllUses, "states h"), (Raises, "ValueError: no"), (Leaves, "SystemExit")])
def test_step_that_does_not_run_fails_one_check_and_the_others_are_skipped(cell: type[Cell], told: str) -> None:
    report = check_cell(cell)
    assert [outcome.check for outcome in report.failed] == ["shapes"]
    assert told in report.failed[0].message
    assert {outcome.status for outcome in report.outcomes if outcome.check not in ("declaration", "shapes")} == {
        "skipped"
    }
    assert not report


def test_no_check_is_an_error() -> None:
    with pytest.raises(CelloquyError, match="no check was run"):
        check_cell(Sound, [])


def test_unknown_check_lists_the_ones_there_are() -> None:
    with pytest.raises(CelloquyError, match="no check 'spelling'; there are: declaration, shapes"):
        check_cell(Sound, ["spelling"])


@pytest.mark.parametrize("thing", [3, int, "lstm", None])
def test_what_is_no_cell_is_an_error(thing: Any) -> None:
    with pytest.raises(CelloquyError, match="is not a cell"):
        check_cell(thing)


class NeedsAnOption(Sound):
    def __init__(self, rate: float) -> None:
        self.rate = rate


def test_cell_that_cannot_be_made_is_an_error_that_names_it() -> None:
    with pytest.raises(CelloquyError, match=r"^cell NeedsAnOption: .*rate"):
        check_cell(NeedsAnOption)


def test_instance_is_checked_with_its_options() -> None:
    cell = load_plugins().create_cell("rnn", {"activation": "relu"})
    assert check_cell(cell, ["checkpoint", "gradients"]).ok


def test_speed_is_reported_and_never_failed() -> None:
    class Slow(Sound):
        def step(self, x: Any, s: Any, R: Any, p: Any) -> STATE:
            time.sleep(0.002)
            return super().step(x, s, R, p)

    outcome = check_cell(Slow, ["training speed"]).outcomes[0]
    assert outcome.status == "measured"
    assert "of the LSTM's" in outcome.message


def test_speed_of_a_cell_with_an_unused_vector_is_measured_all_the_same() -> None:
    assert check_cell(LeavesAVectorUnused, ["training speed"]).outcomes[0].status == "measured"


def test_checking_leaves_the_random_numbers_and_the_cell_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    cell = Sound()
    before = dict(vars(cell))
    check_cell(cell)
    assert torch.equal(torch.rand(2), expected)
    assert vars(cell) == before


def test_report_reads_as_a_table_and_as_json() -> None:
    report = check_cell(LeavesAVectorUnused, ["declaration", "every parameter used"])
    assert str(report).splitlines() == [
        "cell LeavesAVectorUnused: 1 of 2 checks failed: every parameter used",
        "declaration           passed",
        "every parameter used  failed    vector v gets no gradient: it is declared, but step does not use it",
    ]
    data = report.to_json()
    assert (data["cell"], data["ok"], len(data["checks"])) == ("LeavesAVectorUnused", False, 2)
    with pytest.raises(CelloquyError, match="'every parameter used': vector v"):
        report.raise_for_failures()


@pytest.mark.parametrize("check", conformance_checks(Sound), ids=str)
def test_pytest_parametrisation_runs_a_check_a_test(check: Any) -> None:
    check()


def test_case_of_the_parametrisation_fails_with_the_checks_message() -> None:
    case = next(case for case in conformance_checks(LeavesAVectorUnused) if case.name == "every parameter used")
    with pytest.raises(AssertionError, match="vector v gets no gradient"):
        case()


def test_option_that_is_no_json_value_fails_the_checkpoint() -> None:
    class Infinite(Sound):
        def __init__(self, limit: float = float("inf")) -> None:
            if limit < 0:
                raise UsageError("limit")

    (failure,) = check_cell(Infinite, ["checkpoint"]).failed
    assert "cannot be written as JSON" in failure.message
