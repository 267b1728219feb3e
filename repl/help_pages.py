"""What the REPL says about itself: the greeting, the short list, and a page for each command: all from declarations."""

from __future__ import annotations

from collections.abc import Sequence

from repl.slash import GROUPS, Command, Commands

KEYS = (
    ("Up Down", "temperature"),
    ("Left Right", "cell"),
    ("Space", "pause, go on"),
    ("Esc", "stop, keep the text"),
    ("F2", "all knobs"),
    ("Alt-Enter", "new line"),
    ("Ctrl-R", "search history"),
    ("Ctrl-D", "leave"),
)

FURTHER_KEYS = (
    ("Ctrl-Up Ctrl-Down", "temperature, also while a line is typed"),
    ("Ctrl-C", "stop, keep the text; else clear the line"),
    ("Tab", "complete"),
    ("Ctrl-L", "clear the screen"),
    ("Ctrl-Z", "suspend, fg comes back"),
)
"""Those that ``/help`` has no room for."""

GREETING = (
    "Type a line and Enter: the model goes on from it; an empty line just goes on.",
    "While it writes: Up/Down temperature, Left/Right cell, Space pause, Esc stop.",
    "/speed 40 writes at reading pace, /help lists the commands, Ctrl-D leaves.",
)

HOW_TO_LEAVE = "Ctrl-D or /quit leaves"


CLASSIFIER_GREETING = (
    "Type a text: how likely each label is shows as you type; Enter keeps it.",
    "Alt-Enter begins a new line, Ctrl-R searches what you typed before.",
    "/help lists the commands, Ctrl-D leaves.",
)


def short_list(commands: Commands, keys: Sequence[tuple[str, str]]) -> str:
    """Every command under its group, and the keys: what ``/help`` shows."""
    width = max(len(group) for group in GROUPS)
    lines = [
        f"{group:<{width}}  {' · '.join(command.usage for command in members)}" for group, members in _groups(commands)
    ]
    lines.append(f"{'keys':<{width}}  {' · '.join(f'{key} {what}' for key, what in keys)}")
    lines.append("/help NAME explains one, /help all each of them. A line that begins with // is text, not a command.")
    return "\n".join(lines)


def long_list(commands: Commands) -> str:
    """The line of help of every command: what ``/help all`` shows."""
    width = max(len(command.usage) for command in commands)
    lines = []
    for group, members in _groups(commands):
        lines += [group, *(f"  {command.usage:<{width}}  {command.help}" for command in members)]
    return "\n".join(lines)


def _groups(commands: Commands) -> list[tuple[str, list[Command]]]:
    groups = [(group, [command for command in commands if command.group == group]) for group in GROUPS]
    return [(group, members) for group, members in groups if members]


def page(command: Command) -> str:
    """One command in full: what ``/help NAME`` shows."""
    return "\n".join(filter(None, (f"{command.usage}  {command.help}", command.more)))
