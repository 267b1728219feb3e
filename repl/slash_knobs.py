"""REPL commands that set what the live keys turn: every sampling option, the length, the speed, the colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cells.errors import UsageError
from plugins.options import Option, OptionSet
from repl.session_knobs import HEAT, OFF
from repl.slash import Action, Command, Commands, number
from repl.visible import one_line

if TYPE_CHECKING:
    from repl.session import Session

GROUP = "while it writes"
FIRST = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
"""The options that the short help lists one by one; /set lists them all, plugins' included."""


def add_knob_commands(commands: Commands, options: OptionSet) -> None:
    """A command for each option, and the rest."""
    for key in FIRST:
        if key in options:
            commands.add(_option_command(options[key]))
    length = "Tokens for each continuation; 0 goes on until stopped."
    commands.add(Command("length", "/length N", GROUP, length, _length))
    speed = "Characters a second at most, for reading along; 0 is as they come."
    commands.add(Command("speed", "/speed N", GROUP, speed, _speed))
    commands.add(
        Command(
            "heat",
            "/heat [off|surprise|entropy]",
            GROUP,
            "Colour each character by the model's surprise at it, or by the surprise it expected.",
            _heat,
            complete=lambda session: HEAT,
            more="Surprise is how many bits the character was worth to the model; blue is little, yellow is much.",
        )
    )
    if "label" in options:
        commands.add(
            Command(
                "label",
                "/label [NAME|off]",
                GROUP,
                "Let a label steer what is written, or a mixture of labels.",
                _label,
                complete=lambda session: [OFF, *session.writer.loaded.header.label_names],
                more="A mixture is a:0.7,b:0.3. Models that labels steer are trained with --label-column.",
            )
        )
    commands.add(
        Command("set", "/set [NAME VALUE]", GROUP, "Show every setting, or set one.", _set, complete=_setting_names)
    )
    for option in options:
        if option.key not in FIRST and (option.command or option.name) not in commands:
            commands.add(_option_command(option, group=""))


def _option_command(option: Option, group: str = GROUP) -> Command:
    name = option.command or option.name
    argument = {int: "N", float: "X", bool: "on|off"}.get(option.kind, "|".join(option.choices) or "TEXT")
    if name == "temp":
        argument = "T"
    return Command(name, f"/{name} {argument}", group, option.help, _option_action(option), more=_values(option))


def _values(option: Option) -> str:
    return f"{option.name} is {option.allowed}; {option.format(option.default)} unless set."


def _option_action(option: Option) -> Action:
    def run(session: Session, argument: str) -> None:
        if argument:
            set_option(session, option, argument)
        session.say(f"{option.name} {_shown(session, option)}")

    return run


def set_option(session: Session, option: Option, text: str) -> None:
    """Set an option to what a person typed; ``off`` unsets a text. A seed also starts its random numbers anew."""
    if option.key == "seed":
        session.set_seed(None if text == "random" else option.parse(text))
    elif text == "off" and option.kind is str:
        del session.writer.settings[option.key]
    else:
        session.writer.settings[option.key] = option.parse(text)


def _shown(session: Session, option: Option) -> str:
    if option.key == "seed":
        return f"{session.writer.seed}" + ("" if session.seed_given else " (random)")
    value = session.writer.settings[option.key]
    return "off" if value in ("", ()) else option.format(value)


def _length(session: Session, argument: str) -> None:
    if argument:
        session.set_length(number(argument, "the length"))
    session.say(f"length {session.length or 'until stopped'}")


def _speed(session: Session, argument: str) -> None:
    if argument:
        session.speed = number(argument, "the speed")
    session.say(f"speed {session.speed or 'as fast as it comes'}")


def _heat(session: Session, argument: str) -> None:
    wanted = argument or ("off" if session.heat != "off" else "surprise")
    if wanted not in HEAT:
        raise UsageError(f"/heat takes {', '.join(HEAT)}, not {wanted!r}")
    session.heat, session.neuron = wanted, None
    session.say(f"heat {wanted}")


def _label(session: Session, argument: str) -> None:
    names = session.writer.loaded.header.label_names
    if argument:
        session.writer.settings["label"] = None if argument == OFF and OFF not in names else argument
    there = f"; labels of {session.writer.name}: {', '.join(map(one_line, names)) or 'none'}" if not argument else ""
    session.say(f"label {one_line(session.writer.settings['label'] or OFF)}{there}")


def _setting_names(session: Session) -> list[str]:
    return [option.name for option in session.writer.settings.options] + ["length", "speed", "heat"]


def _set(session: Session, argument: str) -> None:
    name, _, value = argument.partition(" ")
    if not name:
        _say_all_settings(session)
    elif name in ("length", "speed", "heat"):
        {"length": _length, "speed": _speed, "heat": _heat}[name](session, value.strip())
    else:
        option = session.writer.settings.options[name]
        _option_action(option)(session, value.strip())


def _say_all_settings(session: Session) -> None:
    options = session.writer.settings.options
    rows = [(option.name, _shown(session, option), option.help) for option in options]
    rows += [
        (knob.name, knob.value, knob.description) for knob in session.knobs if knob.name not in session.writer.settings
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {text}" for name, value, text in rows]
    session.say("\n".join(lines), indent=sum(widths) + 4)
