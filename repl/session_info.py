"""What ``/info`` shows: the checkpoint by its own words, and this conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repl.meter import BITS
from repl.visible import one_line

if TYPE_CHECKING:
    from repl.session import Session


def session_info(session: Session) -> str:
    """Lines of name and value."""
    loaded = session.writer.loaded
    header = loaded.header
    model, loss = header.model, header.val_loss
    rows = [
        ("checkpoint", session.writer.name),
        ("file", str(loaded.path)),
        ("cell", f"{header.cell_name}, {model.get('num_layers')} × {model.get('hidden_size')}"),
        ("parameters", f"{header.parameters:,}"),
        ("vocabulary", f"{loaded.tokenizer.vocabulary_size:,} {loaded.tokenizer.kind} tokens"),
        ("validation", "none" if loss is None else f"{loss:.3f} nats, {loss * BITS:.3f} bits a token"),
        ("family", ", ".join(session.cells())),
        ("text", f"{session.size:,} characters in {len(session.turns)} turns, {len(session.marks)} marks"),
        ("seed", f"{session.writer.seed}" + ("" if session.seed_given else " (random)")),
    ]
    if session.meter.bits is not None:
        rows.append(("surprise", f"{session.meter.bits:.2f} bits a token over the last {len(session.meter.surprises)}"))
    return "\n".join(f"{name:<10}  {one_line(value)}" for name, value in rows)
