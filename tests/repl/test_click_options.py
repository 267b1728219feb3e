"""A declared option becomes a flag with its checks, its help and its default."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from plugins.options import Option
from repl.click_options import OptionsCommand, given

OPTIONS = (
    Option("warmth", float, 0.5, "How warm.", minimum=0, maximum=1, short="-w"),
    Option("count", int, None, "How many.", minimum=1),
    Option("loud", bool, False, "Loud."),
    Option("polite", bool, True, "Polite."),
    Option("colour", "choice", "red", "Which colour.", choices=("red", "blue")),
    Option("word", str, (), "Words (repeatable).", multiple=True),
)


def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, the values that were given, and what was printed."""
    seen: dict[str, Any] = {}

    @click.command(cls=OptionsCommand, declare=lambda program: OPTIONS)
    def command(**parameters: Any) -> None:
        seen.update(given(OPTIONS, parameters))

    done = CliRunner().invoke(command, arguments)
    return done.exit_code, seen, done.output


def test_only_what_was_given_is_handed_on() -> None:
    assert run() == (0, {}, "")


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("-w", "0.25"), {"warmth": 0.25}),
        (("--warmth=0",), {"warmth": 0.0}),
        (("--count", "3", "--loud"), {"count": 3, "loud": True}),
        (("--no-polite",), {"polite": False}),
        (("--polite",), {"polite": True}),
        (("--colour", "blue"), {"colour": "blue"}),
        (("--word", "a", "--word", "b c"), {"word": ("a", "b c")}),
    ],
)
def test_values_come_in_their_own_type(arguments: tuple[str, ...], values: dict[str, Any]) -> None:
    assert run(*arguments)[:2] == (0, values)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--warmth", "1.5"), "warmth must be a number from 0 to 1, not 1.5"),
        (("--warmth", "nan"), "warmth must be"),
        (("--count", "0"), "count must be a whole number of at least 1, not 0"),
        (("--count", "2.5"), "count must be"),
        (("--colour", "green"), "colour must be one of red, blue, not 'green'"),
    ],
)
def test_a_wrong_value_is_refused_by_the_declaration(arguments: tuple[str, ...], complaint: str) -> None:
    status, _, output = run(*arguments)
    assert status == 2
    assert complaint in output


def test_help_tells_defaults_and_choices() -> None:
    text = " ".join(run("--help")[2].split())
    assert "-w, --warmth X How warm. [default: 0.5]" in text
    assert "--colour red|blue Which colour. [default: red]" in text
    assert "--polite / --no-polite" in text
