"""The picture of the README: made from a real session, and made again here."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pyte
from terminal_kit.picture import screen_svg

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


def maker() -> ModuleType:
    """``docs/pictures/repl.py``, which is a script."""
    spec = importlib.util.spec_from_file_location("make_repl_picture", PICTURES / "repl.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timeless(svg: str) -> str:
    """The picture without the speed, and without what stands to the right of it."""
    return re.sub(r"[\d,]+ tok/s.*", "tok/s", re.sub(r'textLength="[^"]*"|<text x="[^"]*"', "", svg))


def test_the_picture_of_the_readme_is_that_of_a_real_session(tmp_path: Path) -> None:
    made = maker().session(tmp_path)
    kept = (PICTURES / "repl.svg").read_text(encoding="utf-8")
    assert timeless(made) == timeless(kept), "python docs/pictures/repl.py makes it again"
    assert "shakespeare.gru" in kept
    assert list(tmp_path.iterdir()) == []


def drawn(text: str, columns: int = 20) -> ElementTree.Element:
    screen = pyte.HistoryScreen(columns, 5)
    pyte.Stream(screen).feed(text)
    return ElementTree.fromstring(screen_svg(screen, "a <title> & more"))


def test_what_the_screen_shows_stands_in_the_picture() -> None:
    svg = drawn("plain \x1b[1;38;2;1;2;3mbold\x1b[0m <&>\r\n\x1b[7m日本\x1b[0m\x1b[48;2;255;0;0m  \x1b[0m")
    texts = {text.text: text.attrib for text in svg.iter(f"{SVG}text")}
    assert set(texts) == {"plain", "bold", " <&>", "日", "本"}
    assert texts["bold"]["fill"] == "#010203"
    assert texts["bold"]["font-weight"] == "bold"
    assert float(texts["本"]["x"]) - float(texts["日"]["x"]) == float(texts["日"]["textLength"])
    assert [rect.attrib["fill"] for rect in svg.iter(f"{SVG}rect")][-1] == "#ff0000"
    assert svg.find(f"{SVG}title").text == "a <title> & more"  # type: ignore[union-attr]
