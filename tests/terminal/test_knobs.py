"""Knobs: a title, a value, a next and a previous one; the status line that shows them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth
from terminal_kit.talk import Talk

from plugins.options import Option
from repl.events import Text
from repl.heat import bits_a_step, heat_style, legend, step_of
from repl.knobs import OptionKnob
from repl.meter import Meter, sparkline
from repl.status import Segment, activity, fit, segments
from repl.wrap import Row


def knob_of(option: Option, value: Any) -> tuple[OptionKnob, dict[str, Any]]:
    held = {"value": value}
    return OptionKnob(option, lambda: held["value"], lambda new: held.update(value=new)), held


def test_a_knob_has_everything_that_a_list_of_knobs_shows(here: object) -> None:
    session = Talk("tiny").session
    names = [knob.name for knob in session.knobs]
    assert names[:2] == ["temperature", "cell"]
    assert {"top-p", "top-k", "min-p", "heat", "speed", "length", "mirostat", "typical-p"} <= set(names)
    for knob in session.knobs:
        assert knob.title
        assert knob.description.endswith(".")
        assert knob.value


def test_every_knob_turns_and_turns_back(here: object) -> None:
    session = Talk("tiny", length=50).session
    for knob in session.knobs:
        before = knob.value
        knob.next()
        changed = knob.value != before
        knob.previous()
        if changed:
            assert knob.value == before, knob.name
        else:
            assert knob.value != before, knob.name
            knob.next()
    assert session.writer.name == "tiny.lstm"


OPTION = Option("warmth", float, 0.5, "How warm.", minimum=0, maximum=1, step=0.05)


@given(st.floats(0, 1), st.lists(st.sampled_from([1, -1]), max_size=60))
def test_a_number_never_leaves_its_bounds_nor_its_grid(start: float, turns: list[int]) -> None:
    knob, held = knob_of(OPTION, round(start, 2))
    for turn in turns:
        knob.next() if turn > 0 else knob.previous()
        assert 0 <= held["value"] <= 1
        assert abs(held["value"] * 100 - round(held["value"] * 100)) < 1e-9


def test_a_bound_that_is_excluded_is_never_reached() -> None:
    option = Option("penalty", float, 1.0, "How much.", minimum=0, exclusive_minimum=True, step=0.25)
    knob, held = knob_of(option, 1.0)
    for _ in range(10):
        knob.previous()
    assert held["value"] == 0.25


def test_a_choice_and_a_switch_turn_too() -> None:
    knob, held = knob_of(Option("mode", "choice", "a", "Which.", choices=("a", "b", "c")), "a")
    knob.next(), knob.next(), knob.next()
    assert held["value"] == "c"
    switch, on = knob_of(Option("greedy", bool, False, "Whether."), False)
    switch.next()
    assert on["value"] is True
    switch.previous()
    assert on["value"] is False


def text_of(row: Row) -> str:
    return "".join(text for _, text in row)


def test_the_status_line_shows_what_is_promised(here: object) -> None:
    talk = Talk("tiny", seed=42).begin("A", 5)
    shown = text_of(fit(segments(talk.session, activity(talk.session)), 200))
    for part in ("tiny.lstm", "T 0.80", "seed 42", "tok/s", "streaming"):
        assert part in shown
    assert "top-p" not in shown
    talk.session.submit("/top-p 0.9")
    talk.session.pause()
    shown = text_of(fit(segments(talk.session, activity(talk.session)), 200))
    assert "top-p 0.90" in shown
    assert "paused" in shown
    talk.session.submit("/greedy on")
    assert "greedy" in text_of(fit(segments(talk.session, activity(talk.session)), 200))


@given(st.integers(1, 90))
def test_the_status_line_fits_and_keeps_the_temperature_longest(columns: int) -> None:
    parts = [Segment(2, "", "family.lstm"), Segment(0, "", "T 0.80"), Segment(5, "", "seed 1"), Segment(1, "", "ready")]
    shown = text_of(fit(parts, columns))
    assert get_cwidth(shown) <= columns
    if columns >= 6:
        assert "T 0.80" in shown
    if columns >= 13:
        assert "ready" in shown


def test_the_sparkline_gets_shorter_before_anything_is_left_out() -> None:
    parts = [Segment(0, "", "T 0.80"), Segment(5, "", "seed 1"), Segment(8, "", "▁▂▃▄▅▆▇█", least=4)]
    assert text_of(fit(parts, 80)) == "T 0.80  seed 1  ▁▂▃▄▅▆▇█"
    assert text_of(fit(parts, 21)) == "T 0.80  seed 1  ▄▅▆▇█"
    assert text_of(fit(parts, 20)) == "T 0.80  seed 1  ▅▆▇█"
    assert text_of(fit(parts, 19)) == "T 0.80  seed 1"


def test_thousands_of_characters_have_a_wider_scale_of_surprise(here: object) -> None:
    assert [bits_a_step(count) for count in (2, 85, 256, 257, 5391, 65536, 65537)] == [1, 1, 1, 2, 2, 2, 3]
    assert step_of(9 * math.log(2)) == 7
    assert step_of(9 * math.log(2), 2) == 4
    assert "surprise  0  2  4  6  8  10  12  14+ " in text_of(legend("surprise", 2))
    assert heat_style("surprise", Text("the ", surprise=14 * math.log(2))) == "class:heat-3"


def test_the_meter_counts_tokens_a_second_and_not_the_pauses() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    meter.start()
    for _ in range(200):
        now[0] += 0.01
        meter.add(1.0)
    assert meter.rate == pytest.approx(100, rel=0.1)
    now[0] += 60
    meter.start()
    for _ in range(50):
        now[0] += 0.02
        meter.add(1.0)
    assert meter.rate == pytest.approx(50, rel=0.1)


def test_the_last_surprises_can_be_read_while_others_are_written() -> None:
    meter = Meter()
    for number in range(20):
        meter.note(number * math.log(2))
        first, *_ = meter.surprises
        read = iter(meter.surprises)
        meter.note(number * math.log(2))
        assert next(read) == first
    assert len(meter.surprises) == 16
    assert meter.surprises[-1] == pytest.approx(19)


def test_surprise_becomes_bars_and_colours() -> None:
    assert sparkline([0.0, 4.0, 8.0, 99.0, float("nan")]) == "▁▅███"
    assert [step_of(nats) for nats in (0.0, 0.5, 0.7, 3.0, 100.0, float("inf"))] == [0, 0, 1, 4, 7, 7]
