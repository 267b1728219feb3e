"""The status line: what is most needed first, and as much of it as the terminal is wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.utils import get_cwidth

from repl.knobs import OptionKnob
from repl.meter import sparkline
from repl.wrap import Row, cut

if TYPE_CHECKING:
    from repl.session import Session

GAP = "  "


@dataclass(frozen=True)
class Segment:
    """A part of the status line. The lower its rank, the longer it stays as the terminal gets narrow."""

    rank: int
    style: str
    text: str


def activity(session: Session) -> str:
    """What goes on, in a word."""
    if session.busy:
        return "busy"
    if session.paused:
        return "paused"
    if session.comparison is not None:
        return "comparing"
    return "streaming" if session.writing else "ready"


def segments(session: Session, doing: str, *, unicode: bool = True) -> list[Segment]:
    """Every part of the status line, in the order in which they stand. ``doing`` is what goes on."""
    settings = session.writer.settings
    temperature = "greedy" if settings["greedy"] else f"T {settings['temperature']:.2f}"
    parts = [Segment(2, "class:status.name", session.writer.name), Segment(0, "class:status.value", temperature)]
    for rank, knob in enumerate(session.knobs, 10):
        if isinstance(knob, OptionKnob) and knob.name not in ("temperature", "greedy") and not knob.neutral:
            parts.append(Segment(4 if knob.name == "top-p" else rank, "class:status", f"{knob.title} {knob.value}"))
    parts.append(Segment(5, "class:status", f"seed {session.writer.seed}"))
    if session.speed:
        parts.append(Segment(9, "class:status", f"speed {session.speed}"))
    if session.chat.on:
        parts.append(Segment(6, "class:status", "chat"))
    parts.append(Segment(3, "class:status", f"{session.meter.rate:,.0f} tok/s"))
    parts.append(Segment(1, f"class:status.{doing}", doing))
    if unicode and session.meter.surprises:
        parts.append(Segment(8, "class:status.spark", sparkline(list(session.meter.surprises))))
    return parts


def fit(parts: list[Segment], columns: int) -> Row:
    """The parts that fit, the least needed left out first."""
    kept = list(parts)
    while len(kept) > 1 and _width(kept) > columns:
        kept.remove(max(kept, key=lambda segment: segment.rank))
    row: Row = []
    for number, segment in enumerate(kept):
        row += [("class:status", GAP)] if number else []
        row.append((segment.style, cut(segment.text, columns)))
    return row


def _width(parts: list[Segment]) -> int:
    return sum(get_cwidth(part.text) for part in parts) + len(GAP) * (len(parts) - 1)
