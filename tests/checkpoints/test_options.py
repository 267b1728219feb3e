from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cells.errors import CelloquyError, UsageError
from checkpoints.options import TRAIN_OPTIONS, TrainOptions, cell_options
from checkpoints.recipe import overlay, read_recipe
from checkpoints.train import plan

SHIPPED_RECIPE = Path(__file__).parents[2] / "checkpoints" / "recipes" / "shakespeare.toml"


def test_the_defaults_are_the_ones_promised() -> None:
    promised = {
        "hidden": 512,
        "layers": 1,
        "embed": 0,
        "tokens": "char",
        "normalize": "none",
        "lowercase": False,
        "dropout": 0.0,
        "residual": False,
        "norm": "none",
        "init": "default",
        "tie": False,
        "bptt": 128,
        "batch": 64,
        "optimizer": "adamw",
        "lr": 3e-3,
        "schedule": "cosine",
        "clip": 1.0,
        "val": 0.1,
        "device": "auto",
        "precision": "auto",
        "threads": "auto",
        "resume": False,
        "out": "./checkpoints",
    }
    defaults = TRAIN_OPTIONS.defaults()
    assert {key: defaults[key] for key in promised} == promised


def test_every_option_of_the_interface_is_declared() -> None:
    flags = (
        "hidden layers embed tokens dropout residual norm init tie bptt batch optimizer lr schedule warmup clip "
        "weight-decay epochs steps minutes val patience seed device precision threads resume from recipe sample-every "
        "prompt cell-option name cell out"
    )
    assert [flag for flag in flags.split() if flag not in TRAIN_OPTIONS] == []


def test_the_checked_values_have_exactly_the_declared_options() -> None:
    fields = {field.name for field in dataclasses.fields(TrainOptions)}
    assert fields == {option.key for option in TRAIN_OPTIONS} - {"from"} | {"start_from"}


def test_every_help_line_is_a_sentence() -> None:
    for option in TRAIN_OPTIONS:
        assert option.help.endswith("."), option.name
        assert option.help[0].isupper(), option.name


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0},
        {"out": "a\0b"},
        {"hidden": -5},
        {"hidden": 1.5},
        {"hidden": True},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": -1.0},
        {"batch": 0},
        {"bptt": 0},
        {"val": 1.0},
        {"val": -0.1},
        {"dropout": 1.0},
        {"norm": "batch"},
        {"optimizer": "lion"},
        {"steps": 0},
        {"minutes": 0.0},
        {"epochs": -1.0},
        {"epochs": 1.0, "steps": 5},
        {"minutes": 1.0, "steps": 5},
        {"seed": -1},
        {"name": "../elsewhere"},
        {"name": "a b"},
        {"name": ""},
        {"name": "bell\x07"},
        {"name": "x" * 101},
        {"cell": "../lstm"},
        {"name": None},
    ],
)
def test_nonsense_is_a_usage_error_of_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        TrainOptions.from_values({"name": "tiny", **wrong})
    assert "\n" not in str(caught.value)
    assert "\x07" not in str(caught.value)


def test_without_an_end_a_run_takes_five_minutes() -> None:
    assert TrainOptions.from_values({"name": "tiny"}).minutes == 5.0
    assert TrainOptions.from_values({"name": "tiny", "steps": 3}).minutes is None


def test_cell_options_are_pairs() -> None:
    assert cell_options(("activation=relu", "a-b = 1=2")) == {"activation": "relu", "a_b": "1=2"}
    for wrong in ("relu", "=relu"):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            cell_options((wrong,))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_command_line_wins_over_the_recipe_and_its_tables(tmp_path: Path) -> None:
    recipe = write(
        tmp_path / "r.toml",
        'name = "family"\nepochs = 5\nhidden = 8\nweight-decay = 0\nthreads = 2\n[cell.gru]\nhidden = 9\n[cell.rnn]\n',
    )
    gru, rnn = plan({"recipe": recipe})
    assert (gru["cell"], gru["hidden"], gru["epochs"], gru["weight_decay"]) == ("gru", 9, 5.0, 0.0)
    assert (rnn["cell"], rnn["hidden"], rnn["name"], rnn["threads"]) == ("rnn", 8, "family", "2")
    (only,) = plan({"recipe": recipe, "cell": "gru", "hidden": 7, "minutes": 2.0, "name": "other"})
    assert (only["hidden"], only["name"], only["minutes"]) == (7, "other", 2.0)
    assert "epochs" not in only


def test_a_recipe_can_name_the_cells_itself(tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.toml", 'name = "family"\ncell = "rnn, gru"\n')
    assert [values["cell"] for values in plan({"recipe": recipe})] == ["rnn", "gru"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hidden = 0", "hidden must be"),
        ("hiden = 5", "no option 'hiden'"),
        ("hidden =", "not TOML"),
        ('cell = "rnn"\n[cell.rnn]\n', "not TOML"),
        ("[cell]\nrnn = 5", r"\[cell.rnn\]"),
        ("resume = true", "resume cannot"),
        ("hidden = " + "9" * 5000, "not TOML"),
        ("epochs = 0x" + "f" * 5000, "epochs must be a number.*, not a number without end"),
        ("name = 0x" + "f" * 5000, "name must be text, not a number without end"),
        ("[cell.rnn]\nlr = 'much'", "lr must be"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_file(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        read_recipe(write(tmp_path / "r.toml", text))
    assert "r.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CelloquyError, match=r"r\.toml could not be read"):
        read_recipe(tmp_path / "r.toml")


def test_a_later_budget_displaces_an_earlier_one() -> None:
    assert overlay({"epochs": 5.0, "lr": 1.0}, {"steps": 3}) == {"steps": 3, "lr": 1.0}
    assert overlay({"epochs": 5.0}, {"lr": 1.0}) == {"epochs": 5.0, "lr": 1.0}


@pytest.mark.parametrize("cells", ["rnn,rnn", "rnn,,gru", ","])
def test_cells_are_named_once_each(cells: str) -> None:
    with pytest.raises(UsageError, match="each cell once"):
        plan({"name": "tiny", "cell": cells})


def test_the_recipe_of_the_shipped_family_can_be_read() -> None:
    runs = plan({"recipe": str(SHIPPED_RECIPE)})
    assert {values["cell"] for values in runs} == {"rnn", "lstm", "gru"}
    assert {values["name"] for values in runs} == {"shakespeare"}
    assert {values["store"] for values in runs} == {"bf16"}
