"""The REPL on a pseudo-terminal, and families that speak in it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from terminal_kit.families import CHINESE, HOSTILE, LETTERS, save_classifier, save_family
from terminal_kit.harness import Terminal
from terminal_kit.processes import ForkedProcess, Nest, Process, RealProcess

ROOT = Path(__file__).resolve().parents[2]
DIALOGUE = {"person": "A: ", "answer": "B: ", "end": "\n", "between": "\n"}

Open = Callable[..., Terminal]


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints: ``tiny``, ``chinese``, ``hostile``, ``talk`` (with a dialogue template), ``mood`` (a classifier)."""
    folder = tmp_path_factory.mktemp("families")
    save_family(folder, "tiny", LETTERS)
    save_family(folder, "chinese", CHINESE)
    save_family(folder, "hostile", HOSTILE)
    save_family(folder, "talk", LETTERS, template=DIALOGUE)
    save_classifier(folder, "mood", ["glad", "sad", "so so"])
    return folder


@pytest.fixture
def place(tmp_path: Path, families: Path) -> Path:
    """A working folder in which the families are found by name, with an empty home in it."""
    (tmp_path / "checkpoints").mkdir()
    for path in families.iterdir():
        os.link(path, tmp_path / "checkpoints" / path.name)
    return tmp_path


BASE = {
    "PATH": os.environ.get("PATH", ""),
    "CELLOQUY_LOAD_PLUGINS": "",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
}


@pytest.fixture(scope="session")
def nest() -> Iterator[Nest]:
    """The warm process that the program is forked from."""
    nest = Nest(BASE)
    yield nest
    nest.close()


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    """The environment of the program: a home of its own, no plugins, one thread, colours."""
    return {**BASE, "HOME": str(place), "CELLOQUY_HOME": str(place / "home")}


@pytest.fixture
def open_repl(place: Path, environment: dict[str, str], nest: Nest) -> Iterator[Open]:
    """``open_repl("tiny", "-n", "0")``: the program on a pseudo-terminal, ready for the first line.

    With ``real`` it is started as a command of its own, with ``shell`` from a shell with job control; else forked.
    """
    opened: list[Terminal] = []

    def start(
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        ready: bool = True,
        real: bool = False,
        shell: bool = False,
        **env: Any,
    ) -> Terminal:
        seed = () if {"--seed", "--continue", "mood"} & set(arguments) else ("--seed", "1")
        words, whole = ["repl", *arguments, *seed], {**environment, **env}
        process: Process
        if shell:
            bash = ["bash", "--norc", "--noprofile", "-i"]
            process = RealProcess(words, {**whole, "PS1": "$ "}, place, columns, rows, shell=bash)
        elif real:
            process = RealProcess(words, whole, place, columns, rows)
        else:
            process = ForkedProcess(nest, words, whole, place, columns, rows)
        terminal = Terminal(process, columns, rows)
        opened.append(terminal)
        if shell:
            terminal.wait(lambda: terminal.status == "$")
            terminal.line(shlex.join([sys.executable, "-m", "celloquy", *words]))
        if ready:
            terminal.wait(lambda: "ready" in terminal.status)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture(scope="module")
def here(families: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For tests within this process: an empty home, and the families where names are looked up."""
    place = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLOQUY_HOME", str(place))
        patch.setenv("CELLOQUY_LOAD_PLUGINS", "")
        (place / "checkpoints").symlink_to(families)
        patch.chdir(place)
        yield place
