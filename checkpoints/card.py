"""A checkpoint's card: what a notebook shows of it. Everything in it is a stranger's text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from checkpoints.shown import plain

if TYPE_CHECKING:
    from pathlib import Path

    from checkpoints.header import Header

FIGURES = {"val_loss": "validation loss", "val_bits_per_character": "bits a character", "step": "steps"}


def card(path: Path, header: Header) -> str:
    """The header as an HTML table: name, cell, sizes, vocabulary, corpus, figures, and the recipe folded away."""
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in _rows(path, header))
    recipe = "".join(
        f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in sorted(header.recipe.items())
    )
    folded = f"<details><summary>recipe</summary><table>{recipe}</table></details>" if recipe else ""
    return f"<div><b>{_text(_name(path))}</b><table>{rows}</table>{folded}</div>"


def _name(path: Path) -> str:
    return path.name.removesuffix(".safetensors")


def _rows(path: Path, header: Header) -> Iterator[tuple[str, Any]]:
    options = ", ".join(f"{key}={value}" for key, value in header.cell["options"].items())
    yield "cell", header.cell_name + (f" ({options})" if options else "")
    if header.cell.get("distribution"):
        yield "from", f"{header.cell['distribution']} {header.cell.get('distribution_version', '')}".strip()
    yield "parameters", f"{header.parameters:,}"
    for key in ("num_layers", "hidden_size", "embedding_size"):
        if header.model.get(key):
            yield key.replace("_", " "), header.model[key]
    yield "tokens", f"{header.tokenizer.get('kind')}, {header.model.get('vocabulary_size')} of them"
    if header.corpus.get("characters"):
        files = header.corpus.get("files")
        count = len(files) if isinstance(files, list) else 0
        yield "corpus", f"{count} files, {header.corpus['characters']} characters"
    for key, name in FIGURES.items():
        value = header.figures.get(key)
        if value is not None:
            yield name, f"{value:.4f}" if isinstance(value, float) else value
    if header.created:
        yield "made", f"{header.created} by celloquy {header.celloquy}".removesuffix(" by celloquy ")
    yield "file", f"{path} ({header.bytes:,} bytes)"


def _text(value: Any) -> str:
    return html.escape(plain(str(value)))
