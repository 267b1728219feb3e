"""A stream that a notebook can show: live text with heat. Works without IPython, which only calls it."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator
from typing import Any

from repl.heat import colours, step_of
from repl.meter import BITS
from repl.piece import Piece
from repl.visible import visible

REDRAW_SECONDS = 0.1


class TextStream(Iterator[Piece]):
    """The pieces of :meth:`repl.generator.Writer.stream`, one after another; a notebook shows them as they come.

    Showing it runs it to its end, once; what is shown again afterwards is the text that came.
    """

    def __init__(self, prompt: str, pieces: Iterator[Piece]) -> None:
        self._prompt = prompt
        self._pieces = pieces
        self._shown: list[tuple[str, float]] = []

    def __iter__(self) -> Iterator[Piece]:
        return self._pieces

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """End here: what was drawn stays in the text."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _take(self) -> Iterator[None]:
        """Draw on, keeping what a page needs of each piece: text and surprise, not the logits."""
        for piece in self._pieces:
            self._shown.append((str(piece), piece.surprise))
            yield

    def _repr_html_(self) -> str:
        """The whole text as HTML: what a notebook without live output shows."""
        for _ in self._take():
            pass
        return page(self._prompt, self._shown)

    def _ipython_display_(self) -> None:
        """Show the text while it is written; called by IPython."""
        from IPython import get_ipython
        from IPython.display import display

        if not hasattr(get_ipython(), "kernel"):  # IPython in a terminal
            self._print()
            return
        handle = display(self._bundle(), raw=True, display_id=True)
        due = time.monotonic() + REDRAW_SECONDS
        try:
            for _ in self._take():
                if time.monotonic() >= due:
                    handle.update(self._bundle(), raw=True)
                    due = time.monotonic() + REDRAW_SECONDS
        except KeyboardInterrupt:  # the notebook's stop button: keep what is there
            self.close()
        handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, Any]:
        text = self._prompt + "".join(piece for piece, _ in self._shown)
        return {"text/html": page(self._prompt, self._shown), "text/plain": visible(text)}

    def _print(self) -> None:
        sys.stdout.write(visible(self._prompt))
        for _ in self._take():
            sys.stdout.write(visible(self._shown[-1][0]))
            sys.stdout.flush()
        sys.stdout.write("\n")


def page(prompt: str, pieces: list[tuple[str, float]]) -> str:
    """The text as HTML: the prompt bold, each piece on the colour of its surprise in nats; nothing of it is markup."""
    runs: list[tuple[int, list[str]]] = []
    for text, surprise in pieces:
        step = step_of(surprise)
        if not runs or runs[-1][0] != step:
            runs.append((step, []))
        runs[-1][1].append(text)
    body = "".join(_span(step, "".join(texts)) for step, texts in runs)
    mean = sum(surprise for _, surprise in pieces) * BITS / len(pieces) if pieces else 0.0
    told = f"{len(pieces)} tokens, {mean:.2f} bits a token" if pieces else ""
    return (
        '<div class="tex2jax_ignore mathjax_ignore"><pre style="white-space:pre-wrap">'
        f"<b>{_escaped(prompt)}</b>{body}</pre><small>{told}</small></div>"
    )


def _span(step: int, text: str) -> str:
    background, letters = colours(step)
    return f'<span style="background:{background};color:{letters}" title="{step} bits">{_escaped(text)}</span>'


def _escaped(text: str) -> str:
    return html.escape(visible(text))
