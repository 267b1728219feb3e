"""docs/plugins.md: every code block runs, every output shown is what comes out, every cell is in the table.

``<!-- file: NAME -->`` before a block writes it to a file, ``<!-- append: NAME -->`` adds to one. In a ``console``
block, lines that begin with ``$`` are commands, the others what they print: ``…`` stands for anything within a line,
and alone on a line for any lines. Other Python blocks are run one after another.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from plugins.conformance.kit import CHECKS
from plugins.registry import load_plugins, set_default_registry
from repl.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "plugins.md"
BLOCK = re.compile(r"(?:<!-- (file|append): (\S+) -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEXT = "to be, or not to be, that is the question: whether it is nobler in the mind\n" * 100


@dataclass(frozen=True)
class Block:
    """One code block: where it stands, what it is, and the file it belongs to."""

    line: int
    language: str
    text: str
    action: str
    file: str


def blocks() -> list[Block]:
    page = PAGE.read_text(encoding="utf-8")
    return [
        Block(page.count("\n", 0, match.start()) + 1, match[3], match[4], match[1] or "", match[2] or "")
        for match in BLOCK.finditer(page)
    ]


def matches(shown: str, found: str) -> bool:
    """Whether output is what is shown, each ``…`` standing for what may differ."""
    pattern = ""
    for line in shown.splitlines():
        pattern += r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
    return re.fullmatch(pattern, found) is not None


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output shown below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_environment: Callable[[Path], Path]
) -> Iterator[Callable[[str], str]]:
    """Run a command line as a reader would, in a folder with a corpus; gives everything it prints."""
    python = make_environment(tmp_path / "environment")
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path / "home"))
    program = python.parent / "celloquy"
    program.write_text(f"#!{python}\nfrom celloquy.__main__ import main\n\nmain()\n")
    program.chmod(0o755)
    installer = python.parent / "pip"
    installer.write_text(f'#!/bin/sh\nexec {python} -m pip "$@"\n')
    installer.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELLOQUY_", "PYTHON", "PIP"))}
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    offline["PIP_NO_BUILD_ISOLATION"] = "0"  # which pip reads as "no isolation"
    path = f"{python.parent}{os.pathsep}{kept['PATH']}"
    environment = {**kept, **offline, "PATH": path, "CELLOQUY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    installed = False

    def run_here(command: str) -> str:
        """In this process while that makes no difference, which saves a start of Python and torch a command."""
        nonlocal installed
        installed = installed or command.startswith("pip ")
        words = shlex.split(command)
        here = words[0] == "celloquy" and not installed
        return CliRunner().invoke(cli, words[1:]).output if here else run(command)

    yield run_here
    set_default_registry(None)


@pytest.mark.skipif(sys.platform == "win32", reason="the page shows a POSIX shell")
def test_every_block_of_the_page_runs_and_prints_what_is_shown(shell: Callable[[str], str]) -> None:
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks():
        where = f"docs/plugins.md, line {block.line}"
        if block.file:
            with Path(block.file).open("a" if block.action == "append" else "w", encoding="utf-8") as file:
                file.write(block.text)
            compile(block.text, where, "exec")
        elif block.language == "python":
            exec(compile(block.text, where, "exec"), namespace)
        else:
            assert block.language == "console", f"{where}: {block.language or 'plain'} blocks are not run"
            for command, shown in commands(block):
                found = shell(command)
                found += "" if found.endswith("\n") or not found else "\n"
                assert matches(shown, found), f"{where}\n$ {command}\nprints\n{found}\nbut the page shows\n{shown}"


def test_page_has_blocks_of_every_kind() -> None:
    found = blocks()
    assert {block.language for block in found} == {"python", "console"}
    assert sum(block.language == "console" for block in found) >= 8


def test_an_output_that_differs_is_noticed() -> None:
    assert matches("a … c\n…\nend\n", "a b c\nx\ny\nend\n")
    assert matches("…\nend\n", "end\n")
    assert not matches("a\n", "b\n")
    assert not matches("a …\n", "b 1\n")
    assert not matches("…\nend\n", "end\nmore\n")


def test_every_check_is_explained() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| check | what it asks |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([a-z0-9 -]+) \| ", table, re.MULTILINE) == list(CHECKS)


def test_every_cell_has_its_row_in_the_table() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("<!-- table: gallery -->")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d\.\d{3}) \| [\d,]+ \| [\d,]+ \|$", table, re.MULTILINE)
    assert {name for name, _ in rows} == set(load_plugins().cells)
    assert all(float(loss) < 2.2 for _, loss in rows)
