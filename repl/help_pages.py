"""What the REPL says about itself: the greeting, the short list, and a page for each command: all from declarations."""

from __future__ import annotations

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

GREETING = (
    "Type a line and Enter: the model goes on from it. An empty line goes on from where the text stands.",
    "While it writes: Up/Down turn the temperature, Left/Right change the cell, Space pauses, Esc stops.",
    "/help lists the commands, Ctrl-D leaves.",
)

HOW_TO_LEAVE = "Ctrl-D or /quit leaves"


def short_list(commands: Commands) -> str:
    """Every command under its group, and the keys: what ``/help`` shows."""
    width = max(len(command.usage) for command in commands)
    lines = []
    for group in GROUPS:
        members = [command for command in commands if command.group == group]
        if members:
            lines += [group, *(f"  {command.usage:<{width}}  {command.help}" for command in members)]
    lines += ["keys", "  " + " · ".join(f"{key}: {what}" for key, what in KEYS)]
    lines += ["A line that begins with // is text that begins with /. /help NAME explains one command."]
    return "\n".join(lines)


def page(command: Command) -> str:
    """One command in full: what ``/help NAME`` shows."""
    return "\n".join(filter(None, (f"{command.usage}  {command.help}", command.more)))
