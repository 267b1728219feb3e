"""The knobs of a session: the cell, every sampling option that has a step, and how text comes to the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plugins.options import Option
from repl.knobs import ChoiceKnob, Knob, Knobs, OptionKnob, ScaleKnob

if TYPE_CHECKING:
    from repl.session import Session

OFF = "off"
HEAT = ("off", "surprise", "entropy")
SPEEDS = (0, 5, 10, 20, 30, 50, 80, 120, 200, 400)
LENGTHS = (0, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10000)


def session_knobs(session: Session) -> Knobs:
    """Every knob, in the order of the F2 list. Options of sampler plugins are among them."""
    options = [_option_knob(session, option) for option in session.writer.settings.options if _turns(option)]
    steered = "label" in session.writer.settings.options and session.writer.loaded.header.label_names
    label = [_label(session)] if steered else []
    return Knobs(
        [*options[:1], _cell(session), *label, *options[1:], _heat(session), _speed(session), _length(session)]
    )


def _turns(option: Option) -> bool:
    return bool(option.step) or option.kind in (bool, "choice")


def _option_knob(session: Session, option: Option) -> Knob:
    def read() -> Any:
        return session.writer.settings[option.key]

    def write(value: Any) -> None:
        session.writer.settings[option.key] = value

    return OptionKnob(option, read, write)


def _cell(session: Session) -> Knob:
    return ChoiceKnob(
        "cell",
        "cell",
        "The recurrent cell: a sibling checkpoint of the same family goes on from the same place.",
        session.cells,
        lambda: session.writer.cell_name,
        session.change_cell,
        around=True,
    )


def _label(session: Session) -> Knob:
    def write(label: str) -> None:
        session.writer.settings["label"] = None if label == OFF else label

    return ChoiceKnob(
        "label",
        "label",
        "The label that steers what is written; /label a:0.7,b:0.3 mixes.",
        lambda: (OFF, *session.writer.loaded.header.label_names),
        lambda: str(session.writer.settings["label"] or OFF),
        write,
        around=True,
        neutral=OFF,
    )


def _heat(session: Session) -> Knob:
    return ChoiceKnob(
        "heat",
        "heat",
        "Colour each character by the model's surprise at it, or by the surprise that it expected.",
        lambda: HEAT,
        lambda: session.heat,
        _setter(session, "heat"),
        around=True,
        neutral="off",
    )


def _speed(session: Session) -> Knob:
    return ScaleKnob(
        "speed",
        "speed",
        "Characters a second at most, for reading along; 0 is as fast as they come.",
        SPEEDS,
        lambda: session.speed,
        _setter(session, "speed"),
        zero="free",
        neutral=0,
    )


def _length(session: Session) -> Knob:
    return ScaleKnob(
        "length",
        "length",
        "Tokens for each continuation; 0 goes on until stopped.",
        LENGTHS,
        lambda: session.length,
        session.set_length,
        zero="endless",
    )


def _setter(session: Session, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(session, name, value)
