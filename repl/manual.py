"""The manual page ``celloquy(1)``, in roff, from the same declarations as ``--help``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from repl.reference import CommandPage
from repl.slash import Commands
from repl.topics import Topic

_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def escaped(text: str) -> str:
    """Text that roff shows as it is; a character beyond ASCII by its code point."""
    shown = "".join(_SPECIAL.get(c, c if c.isascii() else rf"\[u{ord(c):04X}]") for c in text)
    return r"\&" + shown if shown.startswith(".") else shown


def manual(
    version: str, summary: str, pages: Iterable[CommandPage], commands: Commands, topics: Iterable[Topic]
) -> str:
    """The whole page."""
    lines = [
        f'.TH CELLOQUY 1 "" "celloquy {escaped(version)}" "User Commands"',
        *(".SH NAME", rf"celloquy \- {escaped(summary)}"),
        *(".SH SYNOPSIS", r"\fBcelloquy\fR [\fICOMMAND\fR] [\fIOPTIONS\fR]"),
        ".SH COMMANDS",
    ]
    for page in pages:
        lines += _command(page)
    lines.append(".SH IN THE REPL")
    for command in commands:
        lines += [".TP", rf"\fB{escaped(command.usage)}\fR", escaped(command.help)]
    for topic in topics:
        lines += [f".SH {escaped(topic.title.upper())}", *_topic(topic)]
    return "\n".join(lines) + "\n"


def _command(page: CommandPage) -> Iterator[str]:
    yield f'.SS "{escaped(page.usage)}"'
    for paragraph in page.paragraphs:
        yield from (".PP", escaped(paragraph))
    for flags, text in page.options:
        yield from (".TP", rf"\fB{escaped(flags)}\fR", escaped(text) or r"\&")


def _topic(topic: Topic) -> Iterator[str]:
    for paragraph in re.split(r"\n\n", topic.text):
        if paragraph.startswith("  "):  # a list or table keeps its lines
            yield from (".PP", ".nf", *(escaped(line) for line in paragraph.splitlines()), ".fi")
        else:
            yield from (".PP", escaped(" ".join(paragraph.split())))
