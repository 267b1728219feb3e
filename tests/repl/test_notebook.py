"""Jupyter: a stream shows itself live with heat, a checkpoint shows its card, and hostile text stays text."""

from __future__ import annotations

import itertools
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoints.card import card
from checkpoints.header import Header
from repl.generator import Writer
from repl.notebook import page

Write = Callable[..., Writer]
HOSTILE = "<script>alert(1)</script> & \x1b[2J\u202e $x$"


def words(html: str) -> str:
    """The text that a page shows."""
    import html as entities

    (shown,) = re.findall(r"<pre[^>]*>(.*)</pre>", html, re.DOTALL)
    return entities.unescape(re.sub(r"<[^>]*>", "", shown))


def test_a_stream_is_still_an_iterator_of_pieces(write: Write) -> None:
    stream = write().stream("To be", length=5, seed=1)
    first = next(stream)
    rest = list(stream)
    assert len(rest) == 4
    assert first.token >= 0
    assert rest[-1].finish == "length"


def test_the_page_of_a_stream_is_its_text_with_heat(write: Write) -> None:
    text = "".join(write().stream("To be", length=30, seed=1))
    stream = write().stream("To be", length=30, seed=1)
    html = stream._repr_html_()
    assert words(html) == "To be" + text
    assert "background:#" in html
    assert "30 tokens" in html
    assert stream._repr_html_() == html  # shown again, and nothing is drawn again


def test_showing_moves_the_conversation_on(write: Write) -> None:
    writer = write()
    words_shown = words(writer.stream("To be", length=10, seed=1)._repr_html_())
    assert writer.transcript == words_shown


def test_hostile_text_is_shown_and_does_nothing() -> None:
    html = page(HOSTILE, [(HOSTILE, 1.0), ("</pre><b onclick='x'>", 0.1)])
    assert not {"\x1b", "\u202e"} & set(html)
    assert re.findall(r"<(\w+)", html).count("script") == 0
    assert "onclick='x'" not in html
    assert "mathjax_ignore" in html
    assert words(html).startswith("<script>alert(1)</script> & ␛[2J<202E> $x$")


class Notebook:
    """IPython as far as a stream sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kernel: bool) -> None:
        self.pages: list[str] = []
        shell = types.SimpleNamespace(kernel=True) if kernel else types.SimpleNamespace()
        module = types.ModuleType("IPython")
        module.get_ipython = lambda: shell  # type: ignore[attr-defined]
        display = types.ModuleType("IPython.display")
        display.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, bundle: Any, raw: bool, display_id: bool) -> Notebook:
        assert (raw, display_id) == (True, True)
        self.update(bundle, raw)
        return self

    def update(self, bundle: Any, raw: bool) -> None:
        self.pages.append(bundle["text/html"])
        assert bundle["text/plain"] == words(bundle["text/html"])


def test_a_notebook_sees_the_text_grow(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repl.notebook.REDRAW_SECONDS", 0.0)
    notebook = Notebook(monkeypatch, kernel=True)
    writer = write()
    writer.stream("To be", length=12, seed=1)._ipython_display_()
    texts = [words(html) for html in notebook.pages]
    assert texts[0] == "To be"
    assert texts[-1] == writer.transcript
    assert len(writer.transcript) == len("To be") + 12
    assert len(set(texts)) > 6
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


def test_the_stop_button_keeps_what_is_there(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(monkeypatch, kernel=True)
    monkeypatch.setattr("repl.notebook.REDRAW_SECONDS", 0.0)
    writer = write()
    count = 0
    update = notebook.update

    def stop(bundle: Any, raw: bool) -> None:
        nonlocal count
        count += 1
        update(bundle, raw)
        if count == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(notebook, "update", stop)
    writer.stream("To be", length=None, seed=1)._ipython_display_()
    assert words(notebook.pages[-1]) == writer.transcript
    assert len(writer.transcript) == len("To be") + 3


def test_ipython_in_a_terminal_gets_plain_text(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = Notebook(monkeypatch, kernel=False)
    writer = write()
    writer.stream("To be", length=8, seed=1)._ipython_display_()
    assert capsys.readouterr().out == writer.transcript + "\n"
    assert notebook.pages == []


def test_a_checkpoints_card_says_what_the_header_says(write: Write) -> None:
    writer = write("tiny", "gru")
    html = writer.loaded._repr_html_()
    assert writer._repr_html_() == html
    for wanted in ("<b>tiny.gru</b>", "<td>gru</td>", f"{writer.loaded.header.parameters:,}", "1.8000"):
        assert wanted in html


def test_a_hostile_card_is_only_text() -> None:
    evil = {"name": "<b>x</b>", "version": 1, "options": {"<i>": "\x1b[2J"}, "distribution": "<script>"}
    sizes, tokens = {"hidden_size": "<u>"}, {"kind": "<a href=x>"}
    corpus = {"files": 3, "characters": "<p>"}
    header = Header("f", evil, sizes, tokens, recipe={"<img src=x>": "<svg>"}, corpus=corpus)
    html = card(Path("<h1>.safetensors"), header)
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"div", "b", "table", "tr", "th", "td", "details", "summary"}
    assert html.count("<b>") == 1
    assert "\x1b" not in html
