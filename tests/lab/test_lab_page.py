"""What docs/lab.md shows is what the commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repl.cli import cli
from repl.lab.options import CURE_NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lab.md").read_text("utf-8")


def rows(text):
    """network and state -> the other cells, of the table of rates."""
    lines = text.split("network   state", 1)[1].splitlines()[1:]
    found = {}
    for line in lines:
        cells = re.split(r" {2,}", line.strip())
        if len(cells) < 5:
            break
        found[cells[0], cells[1]] = cells[2:]
    return found


def test_the_table_of_the_page_is_what_gradients_prints(capsys, monkeypatch):
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")
    with pytest.raises(SystemExit):
        cli.main(["gradients"])
    printed, shown = rows(capsys.readouterr().out), rows(PAGE)
    assert printed.keys() == shown.keys()
    for key, cells in shown.items():
        *norms, rate, verdict = printed[key]
        assert verdict == cells[-1]
        assert float(rate[1:]) == pytest.approx(float(cells[-2][1:]), abs=0.02)
        if verdict != "explodes":  # a network that explodes is chaotic: rounding decides its far past
            assert [float(norm) for norm in norms] == pytest.approx([float(cell) for cell in cells[:-2]], rel=0.3)


def test_every_cure_is_on_the_page():
    for cure in CURE_NAMES:
        assert cure == "overview" or f"`{cure}`" in PAGE


def test_the_picture_of_the_page_is_there():
    for name in re.findall(r"\]\((pictures/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / name).read_text("utf-8").startswith("<svg ")
