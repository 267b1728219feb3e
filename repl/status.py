"""The status line: what is most needed first, and as much of it as the terminal is wide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repl.knobs import OptionKnob
from repl.meter import FULL_SCALE, sparkline
from repl.visible import one_line
from repl.widths import columns_of
from repl.wrap import Row, cut

if TYPE_CHECKING:
    from repl.conversation import Conversation
    from repl.session import Session

GAP = "  "


@dataclass(frozen=True)
class Segment:
    """A part of the status line. The lower its rank, the longer it stays as the terminal gets narrow."""

    rank: int
    style: str
    text: str
    least: int = 0
    """Cells to which it may be shortened, from its beginning, before anything is left out; 0: it may not."""


def activity(session: Conversation) -> str:
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
    if label := settings.values_now.get("label"):
        strength = settings["label_strength"]
        times = "" if strength == 1 else f" x{strength:g}"
        parts.append(Segment(4, "class:status.value", f"label {label}{times}"))
    parts.append(Segment(5, "class:status", f"seed {session.writer.seed}"))
    if session.speed:
        parts.append(Segment(9, "class:status", f"speed {session.speed}"))
    if session.chat.on:
        parts.append(Segment(6, "class:status", "chat"))
    parts.append(Segment(3, "class:status", f"{session.meter.rate:,.0f} tok/s"))
    parts.append(Segment(1, f"class:status.{doing}", doing))
    if unicode and session.meter.surprises:
        parts.append(Segment(8, "class:status.spark", _spark(session), least=4))
    return parts


def _spark(session: Session) -> str:
    return sparkline(session.meter.surprises, FULL_SCALE * session.heat_bits)


def fit(parts: list[Segment], columns: int) -> Row:
    """The parts that fit, the least needed left out first."""
    kept = list(parts)
    while len(kept) > 1 and _width(kept) - sum(_spare(segment) for segment in kept) > columns:
        kept.remove(max(kept, key=lambda segment: segment.rank))
    kept = [_shortened(segment, _width(kept) - columns) for segment in kept]
    row: Row = []
    for number, segment in enumerate(kept):
        row += [("class:status", GAP)] if number else []
        row.append((segment.style, cut(one_line(segment.text), columns)))
    return row


def _spare(segment: Segment) -> int:
    """Cells by which a segment may be shortened; only those that may have one cell a character."""
    return max(0, len(segment.text) - segment.least) if segment.least else 0


def _shortened(segment: Segment, excess: int) -> Segment:
    return replace(segment, text=segment.text[min(max(0, excess), _spare(segment)) :])


def _width(parts: list[Segment]) -> int:
    return sum(columns_of(part.text) for part in parts) + len(GAP) * (len(parts) - 1)
