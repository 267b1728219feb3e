"""``--recipe auto``: choices within bounds that grow with text and time; flags win, a resumed run keeps its choice."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from cells.gru import GRU
from cells.lstm import LSTM
from cells.model import LanguageModel, ModelConfig
from checkpoints.auto_recipe import (
    MOST_DROPOUT,
    MOST_WARMUP,
    SIZES,
    Facts,
    Speed,
    choose,
    dropout,
    parameter_count,
    recipe_file_text,
)
from checkpoints.header import read_header
from checkpoints.options import TRAIN_OPTIONS, TrainOptions
from checkpoints.recipe import read_recipe
from checkpoints.resume import load_resume
from checkpoints.speed import facts_of, line_through
from checkpoints.train import plan, train

Train = Callable[..., Path]
TOKENS = st.integers(10_000, 1_000_000_000)
MINUTES = st.integers(1, 600)
CELLS = st.sampled_from([(4, 4), (3, 3), (1, 1), (2, 0)])
TWO_CORES = Speed(3e-6, 4e-11)
"""About what two cores do with an LSTM: 40,000 tokens a second with 512 units."""


def chosen(tokens: int, minutes: float, gates: tuple[int, int] = (4, 4), **more: Any) -> dict[str, Any]:
    """Everything chosen, with the number of parameters."""
    found = choose(Facts(tokens, 96, *gates, TWO_CORES), {"minutes": minutes, **more})
    return {**found.values, "parameters": found.parameters}


@given(TOKENS, MINUTES, CELLS, st.sampled_from([2, 96, 5_000, 60_000]))
def test_every_choice_is_within_bounds_and_can_be_trained(
    tokens: int, minutes: int, gates: tuple[int, int], vocabulary: int
) -> None:
    facts = Facts(tokens, vocabulary, *gates, TWO_CORES)
    values = choose(facts, {"minutes": minutes}).values
    assert (values["layers"], values["hidden"]) in SIZES
    assert 0 <= values["dropout"] <= MOST_DROPOUT
    assert 5e-4 <= values["lr"] <= 8e-3
    assert 0 <= values["warmup"] <= MOST_WARMUP
    assert values["batch"] * values["bptt"] <= tokens
    TrainOptions.from_values({"name": "a", "minutes": minutes, **values})


@given(TOKENS, TOKENS, MINUTES, CELLS)
def test_more_text_never_means_a_smaller_model_nor_more_dropout(
    one: int, other: int, minutes: int, gates: tuple[int, int]
) -> None:
    less, more = (chosen(tokens, minutes, gates) for tokens in sorted((one, other)))
    assert more["parameters"] >= less["parameters"]
    assert more["dropout"] <= less["dropout"] + 0.11, "a little up where a larger size begins"


@given(TOKENS, MINUTES, MINUTES, CELLS)
def test_more_time_never_means_a_smaller_model_nor_less_dropout(
    tokens: int, one: int, other: int, gates: tuple[int, int]
) -> None:
    less, more = (chosen(tokens, minutes, gates) for minutes in sorted((one, other)))
    assert more["parameters"] >= less["parameters"]
    assert more["dropout"] >= less["dropout"] - 0.11, "a little down where a larger size begins"


@pytest.mark.parametrize(
    ("readings", "ratio", "share"), [(1, 50, 0.0), (0.1, 1, 0.0), (5, 0.2, 0.0), (12, 1.1, 0.3), (100, 3.5, 0.5)]
)
def test_dropout_needs_a_text_read_again_and_parameters_to_learn_it_by_heart(
    readings: float, ratio: float, share: float
) -> None:
    assert dropout(readings, ratio) == share


@given(TOKENS, MINUTES, st.floats(1.0, 100.0))
def test_a_faster_machine_never_gets_a_smaller_model(tokens: int, minutes: int, times: float) -> None:
    slow = choose(Facts(tokens, 96, 4, 4, TWO_CORES), {"minutes": minutes})
    fast = Speed(TWO_CORES.base / times, TWO_CORES.each / times)
    assert choose(Facts(tokens, 96, 4, 4, fast), {"minutes": minutes}).parameters >= slow.parameters


@given(
    TOKENS,
    st.fixed_dictionaries(
        {},
        optional={
            "hidden": st.integers(1, 5000),
            "layers": st.integers(1, 6),
            "embed": st.integers(0, 600),
            "tie": st.booleans(),
            "dropout": st.floats(0, 0.9),
            "batch": st.integers(1, 300),
            "bptt": st.integers(1, 2000),
            "lr": st.floats(1e-5, 1),
            "warmup": st.integers(0, 1000),
            "reset": st.floats(0, 1),
            "activation_penalty": st.floats(0, 5),
            "temporal_penalty": st.floats(0, 5),
        },
    ),
    st.sampled_from([{"minutes": 3.0}, {"steps": 500}, {"epochs": 2.0}, {}]),
)
def test_what_is_given_is_not_chosen(tokens: int, flags: dict[str, Any], budget: dict[str, Any]) -> None:
    found = choose(Facts(tokens, 96, 4, 4, TWO_CORES), {**flags, **budget})
    assert not found.values.keys() & flags.keys()
    assert ("minutes" in found.values) == (not budget)
    if flags.get("tie") and "embed" not in flags:
        assert found.values["embed"] == 0
    assert found == choose(Facts(tokens, 96, 4, 4, TWO_CORES), {**flags, **budget}), "the same from the same"


def test_a_small_text_gets_a_model_of_512_units_if_there_is_time() -> None:
    """Which on 100 KB was better than 256, at one and a half minutes and at five (docs/training.md)."""
    assert chosen(90_000, 5)["hidden"] == 512
    assert chosen(90_000, 60)["hidden"] == 512


def test_outputs_are_penalised_only_if_the_text_is_read_often() -> None:
    often, seldom = chosen(300_000, 5), chosen(10_000_000, 5)
    assert (often["activation_penalty"], often["temporal_penalty"]) == (2.0, 1.0)
    assert not {"activation_penalty", "temporal_penalty"} & seldom.keys()


def test_rows_begin_anew_now_and_then_unless_none_is_carried_on() -> None:
    assert 0 < chosen(90_000, 5)["reset"] < 0.1
    assert "reset" not in chosen(90_000, 5, sampling="random")


def test_what_is_open_beside_a_given_size_still_follows_the_time() -> None:
    short, long = (chosen(10_000_000, minutes, layers=3) for minutes in (2, 200))
    assert long["hidden"] > short["hidden"]
    assert "layers" not in long
    assert [chosen(10_000_000, minutes, hidden=256)["layers"] for minutes in (1, 200)] == [1, 2]


@pytest.mark.parametrize(("tokens", "minutes"), [(10_000, 2), (100_000, 2), (1_000_000, 5), (1_000_000_000, 60)])
def test_without_a_budget_the_text_decides_how_long(tokens: int, minutes: int) -> None:
    assert choose(Facts(tokens, 96, 4, 4, TWO_CORES), {}).values["minutes"] == minutes


@pytest.mark.parametrize("cell", [LSTM(), GRU()])
@pytest.mark.parametrize(("layers", "embed"), [(1, 0), (1, 48), (3, 64)])
def test_parameters_are_counted_as_the_model_has_them(cell: Any, layers: int, embed: int) -> None:
    model = LanguageModel(cell, ModelConfig(37, 96, num_layers=layers, embedding_size=embed))
    vectors = sum(vector.numel() for layer in model.recurrent_layers for vector in layer.p.values())
    assert parameter_count(facts_of(cell, 1, 37), layers, 96, embed) == model.parameter_count - vectors


def test_two_measurements_give_a_rate_and_what_comes_on_top() -> None:
    speed = line_through([1_000, 5_000], [3.0, 7.0])
    assert (speed.seconds(1, 1_000), speed.seconds(1, 5_000)) == pytest.approx((3.0, 7.0))
    assert line_through([1_000, 5_000], [1.0, 7.0]) == Speed(0.0, 7.0 / 5_000), "never less than nothing"
    assert line_through([1_000, 5_000], [7.0, 3.0]).each == 0.0


@settings(max_examples=50)
@given(st.text(max_size=20), st.floats(1e-4, 1), st.booleans())
def test_the_recipe_file_gives_the_values_again(text: str, rate: float, tie: bool) -> None:
    values = {"cell": "gru", "lr": rate, "tie": tie, "cell_option": ("a=" + text,), "weight_decay": 0.25, "val": None}
    path = Path(str(FOLDER)) / "recipe.toml"
    path.write_text(recipe_file_text({**values, "name": "left out"}, "how\nit came"), encoding="utf-8", newline="")
    assert read_recipe(path).common == {key: value for key, value in values.items() if value is not None}


FOLDER = ""


@pytest.fixture(autouse=True, scope="module")
def _a_folder_for_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER  # hypothesis and function-scoped fixtures do not go together
    FOLDER = str(tmp_path_factory.mktemp("recipes"))


# ---------------------------------------------------------------------- the command


def auto(**options: Any) -> dict[str, Any]:
    """Options of a short run whose sizes are chosen."""
    open_ones = dict.fromkeys(("hidden", "batch", "bptt", "lr"))
    return {**open_ones, "recipe": "auto", "steps": 3, "eval_every": 3, **options}


def test_the_choice_is_told_in_one_line_and_kept_in_header_and_run(small_train: Train, messages: io.StringIO) -> None:
    path = small_train(**auto(hidden=20))
    [line] = [line for line in messages.getvalue().splitlines() if line.startswith("auto recipe for tiny.lstm: ")]
    assert "hidden" not in line
    assert "layers 1, embed 20, dropout" in line
    assert "tokens of" in line
    recipe = read_header(path).recipe
    began = load_resume(path.with_name("tiny.lstm.run") / "resume.safetensors").options
    written = read_recipe(path.with_name("tiny.lstm.run") / "recipe.toml").common
    for key in ("hidden", "layers", "embed", "dropout", "batch", "bptt", "lr", "warmup", "reset", "steps"):
        assert recipe[key] == began[key] == written[key]
    assert recipe["hidden"] == 20
    assert read_header(path).model["hidden_size"] == 20
    assert "name" not in written


def test_the_recipe_file_of_a_run_makes_the_same_again(small_train: Train, tmp_path: Path) -> None:
    path = small_train(**auto(hidden=20))
    file = path.with_name("tiny.lstm.run") / "recipe.toml"
    [again] = train(tmp_path / "verse.txt", recipe=str(file), name="again", out=tmp_path / "again")
    assert read_header(again).figures["val_loss"] == read_header(path).figures["val_loss"]


def test_a_resumed_run_chooses_nothing_anew(
    small_train: Train, messages: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_train(**auto())
    first = read_header(path).recipe
    monkeypatch.setattr("checkpoints.session.auto_values", None)
    for recipe in ("auto", None):
        messages.truncate(0)
        path = small_train(**auto(recipe=recipe, steps=6 if recipe else 9, resume=True))
        assert "auto recipe" not in messages.getvalue()
    assert {**read_header(path).recipe, "steps": 3} == first


def test_each_cell_of_a_family_is_chosen_for(small_train: Train, messages: io.StringIO) -> None:
    small_train(**auto(cell="rnn,gru"))
    told = [line.partition(": ")[0] for line in messages.getvalue().splitlines() if line.startswith("auto recipe")]
    assert told == ["auto recipe for tiny.rnn", "auto recipe for tiny.gru"]


def test_a_budget_of_time_is_held_against_the_measured_speed(
    small_train: Train, messages: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.speed.measured_speed", lambda *_: Speed(1e-6, 1e-10))
    path = small_train(**auto(steps=None, minutes=0.02, eval_every=0))
    assert "at the speed measured here" in messages.getvalue()
    assert read_header(path).recipe["minutes"] == 0.02
    assert "steps" not in read_header(path).recipe


def test_the_speed_is_measured_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    from checkpoints import speed

    monkeypatch.setattr(speed, "LARGE", 24)
    monkeypatch.setattr(speed, "SMALL", 8)
    monkeypatch.setattr(speed, "busy", lambda: False)
    options = TrainOptions.from_values({"name": "a", "threads": "1", "precision": "fp32"})
    cpu = torch.device("cpu")
    first = speed.measured_speed(options, LSTM(), 11, cpu, None)
    assert first.seconds(1, 1e6) > 0
    monkeypatch.setattr(speed, "_median", None)
    assert speed.measured_speed(options, LSTM(), 11, cpu, None) == first
    half = speed.measured_speed(options, LSTM(), 11, cpu, None, processes=2)
    assert half.seconds(1, 1e6) == pytest.approx(first.seconds(1, 1e6) / 2)


def test_a_start_from_a_checkpoint_keeps_its_sizes(small_train: Train, tmp_path: Path) -> None:
    source = small_train()
    path = small_train(**auto(name="next", **{"from": str(source)}))
    assert {**read_header(path).model, "dropout": 0.0} == read_header(source).model


def test_a_classifier_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="recipe auto chooses for models that write"):
        plan({"name": "a", "task": "classify", "recipe": "auto"})


def test_a_recipe_that_is_not_there_is_still_an_error() -> None:
    with pytest.raises(CelloquyError, match="there is no recipe 'automatic'"):
        plan({"name": "a", "recipe": "automatic"})


def test_the_facts_of_a_cell_are_its_gates() -> None:
    assert dataclasses.astuple(facts_of(LSTM(), 5, 7)) == (5, 7, 4, 4, None)
    assert "auto" in TRAIN_OPTIONS["recipe"].help
