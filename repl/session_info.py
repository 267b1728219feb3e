"""What ``/info`` shows: the checkpoint by its own words, and this conversation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from repl.meter import BITS
from repl.visible import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from checkpoints.header import Header
    from repl.session import Session

NAMES = 12
"""Cells that the names of the values take."""


def session_info(session: Session) -> str:
    """Lines of name and value."""
    loaded = session.writer.loaded
    header = loaded.header
    rows = [
        *checkpoint_rows(session.writer.name, loaded.path, header),
        ("parameters", f"{header.parameters:,}"),
        ("vocabulary", f"{loaded.tokenizer.vocabulary_size:,} {loaded.tokenizer.kind} tokens"),
        ("validation", _validation(header)),
        ("family", ", ".join(session.cells())),
        ("text", f"{session.size:,} characters in {len(session.turns)} turns, {len(session.marks)} marks"),
        ("seed", f"{session.writer.seed}" + ("" if session.seed_given else " (random)")),
    ]
    if session.meter.bits is not None:
        rows.append(("surprise", f"{session.meter.bits:.2f} bits a token over the last {len(session.meter.surprises)}"))
    return in_columns(rows)


def checkpoint_rows(name: str, path: Path, header: Header) -> list[tuple[str, str]]:
    """What there is to know of any checkpoint."""
    size = f"{header.model.get('num_layers')} × {header.model.get('hidden_size')}"
    return [("checkpoint", name), ("file", str(path)), ("cell", f"{header.cell_name}, {size}")]


def in_columns(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values as lines, the values under each other."""
    return "\n".join(f"{name:<{NAMES}}{one_line(value)}" for name, value in rows)


def _validation(header: Header) -> str:
    """The validation loss, a token and a character: the second can be compared with that of other tokens."""
    loss, bits = header.val_loss, header.val_bits_per_character
    if loss is None:
        return "none"
    return f"{loss:.3f} nats, {loss * BITS:.3f} bits a token" + ("" if bits is None else f", {bits:.3f} a character")
