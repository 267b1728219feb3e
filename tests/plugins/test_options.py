"""An option's declaration gives its validation and its parsing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from plugins.options import Option, OptionSet

TOP_P = Option("top-p", float, 1.0, "Keep the likeliest.", minimum=0, maximum=1, exclusive_minimum=True)
TOP_K = Option("top-k", int, 0, "Keep k.", minimum=0)
SEED = Option("seed", int, None, "Seed.", minimum=0)
COLOUR = Option("colour", "choice", "red", "Colour.", choices=("red", "blue"))
GREEDY = Option("greedy", bool, False, "Take the likeliest.")
STOP = Option("stop", str, (), "Stop there.", multiple=True)


def test_key_is_the_name_as_a_python_name() -> None:
    assert TOP_P.key == "top_p"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (TOP_P, 0),
        (TOP_P, 1.5),
        (TOP_P, math.nan),
        (TOP_P, math.inf),
        (TOP_P, True),
        (TOP_P, "0.5"),
        (TOP_P, None),
        (TOP_P, [1]),
        (TOP_P, 1j),
        (TOP_K, -1),
        (TOP_K, 1.0),
        (TOP_K, False),
        (SEED, -1),
        (COLOUR, "green"),
        (COLOUR, 1),
        (GREEDY, 1),
        (GREEDY, "on"),
        (STOP, "text"),
        (STOP, [1]),
        (STOP, 3),
    ],
)
def test_wrong_value_is_refused_by_name_and_with_what_is_allowed(option: Option, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        option.validate(value)
    message = str(caught.value)
    assert message.startswith(f"{option.name} must be {option.allowed}" if not option.multiple else option.name)
    assert "\n" not in message


def test_refusal_shows_the_value_but_not_a_page_of_it() -> None:
    with pytest.raises(UsageError, match=r"not 7$"):
        TOP_P.validate(7)
    with pytest.raises(UsageError) as caught:
        COLOUR.validate("x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [(TOP_P, 1, 1.0), (TOP_K, 5, 5), (SEED, None, None), (GREEDY, True, True), (STOP, ["a", "b"], ("a", "b"))],
)
def test_right_value_comes_back_in_the_options_type(option: Option, value: Any, expected: Any) -> None:
    result = option.validate(value)
    assert result == expected
    assert type(result) is type(expected)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_is_accepted_exactly_when_in_range(value: float) -> None:
    try:
        accepted = TOP_P.validate(value) == value
    except UsageError:
        accepted = False
    assert accepted == (0 < value <= 1)


@given(st.text())
def test_any_text_is_parsed_or_refused_as_usage(text: str) -> None:
    for option in (TOP_P, TOP_K, SEED, COLOUR, GREEDY):
        try:
            value = option.parse(text)
        except UsageError:
            continue
        assert option.validate(value) == value


@pytest.mark.parametrize("option", [TOP_P, TOP_K, SEED, COLOUR, GREEDY])
def test_formatted_default_parses_back(option: Option) -> None:
    assert option.parse(option.format(option.default)) == option.default


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (TOP_P, "a number above 0 and of at most 1"),
        (TOP_K, "a whole number of at least 0"),
        (Option("t", float, 1.0, "", minimum=0, maximum=2), "a number from 0 to 2"),
        (COLOUR, "one of red, blue"),
        (GREEDY, "on or off"),
    ],
)
def test_range_in_words(option: Option, words: str) -> None:
    assert option.allowed == words


@pytest.mark.parametrize(
    "declaration",
    [
        {"name": "two words", "kind": int, "default": 0},
        {"name": "", "kind": int, "default": 0},
        {"name": "-x", "kind": int, "default": 0},
        {"name": "x", "kind": list, "default": 0},
        {"name": "x", "kind": int, "default": "0"},
        {"name": "x", "kind": "choice", "default": "a"},
        {"name": "x", "kind": int, "default": 0, "choices": ("a",)},
        {"name": "x", "kind": float, "default": 3.0, "maximum": 1},
    ],
)
def test_declaration_that_cannot_work_is_refused(declaration: dict[str, Any]) -> None:
    with pytest.raises(CelloquyError):
        Option(help="", **declaration)


def test_set_fills_defaults_and_takes_names_or_keys() -> None:
    options = OptionSet([TOP_P, TOP_K, STOP])
    assert options.defaults() == {"top_p": 1.0, "top_k": 0, "stop": ()}
    assert options.validate({"top-p": 0.5, "top_k": 3}) == {"top_p": 0.5, "top_k": 3, "stop": ()}
    assert "top-p" in options
    assert options["top_k"] is TOP_K


def test_set_names_what_it_has_when_asked_for_something_else() -> None:
    with pytest.raises(UsageError, match="no option 'top-q'; there are: top-p, top-k"):
        OptionSet([TOP_P, TOP_K]).validate({"top-q": 1})


def test_set_refuses_one_key_twice() -> None:
    with pytest.raises(CelloquyError, match="twice"):
        OptionSet([TOP_P, TOP_P])
