"""The whole path of a stranger's cell: scaffold, pip install into a fresh environment, check, train, generate, swap.

The environment is new; torch and the rest are lent to it by a .pth file, which saves a gigabyte and its half minute.
The plugin itself is installed by pip, and found by its entry point.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXT = "to be, or not to be, that is the question: whether it is nobler in the mind\n" * 40

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder outside the repository, with a corpus."""
    folder = tmp_path_factory.mktemp("author")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def python(folder: Path, make_environment: Callable[[Path], Path]) -> Path:
    """The interpreter of a fresh virtual environment that borrows this one's packages."""
    return make_environment(folder / "environment")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """The variables of the author's shell: nothing of this test run's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELLOQUY_", "PYTHON"))}
    return {**kept, "CELLOQUY_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "TERM": "xterm-256color"}


@pytest.fixture(scope="module")
def call(folder: Path, python: Path, environment: dict[str, str]) -> Command:
    """``call("-m", "celloquy", "list")``: the fresh environment's python in the author's folder."""

    def run(*arguments: str, status: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(python), *arguments],
            cwd=folder,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def installed(folder: Path, call: Command) -> Command:
    """``installed("plugins")``: the command line after ``plugins new swirl`` and ``pip install``."""
    assert "swirl" not in call("-m", "celloquy", "plugins").stdout
    call("-m", "celloquy", "plugins", "new", "swirl")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    call("-m", "pip", "install", "--quiet", *offline, str(folder / "celloquy-swirl"))
    return functools.partial(call, "-m", "celloquy")


@pytest.fixture(scope="module")
def trained(installed: Command) -> Command:
    """The same command line after training the new cell and an LSTM."""
    sizes = ["--hidden", "16", "--steps", "20", "--batch", "4", "--bptt", "32", "--threads", "1"]
    installed("train", "corpus.txt", "--name", "mine", "--cell", "swirl,lstm", *sizes)
    return installed


def test_installed_plugin_is_found_by_its_entry_point(installed: Command) -> None:
    data = json.loads(installed("plugins", "list", "--json").stdout)
    assert data["failures"] == []
    found = [plugin for plugin in data["plugins"] if plugin["distribution"] == "celloquy-swirl"]
    assert [(plugin["version"], plugin["cells"][0]["name"]) for plugin in found] == [("0.1.0", "swirl")]


def test_scaffolded_cell_passes_the_conformance_check(installed: Command) -> None:
    (report,) = json.loads(installed("plugins", "check", "swirl", "--json").stdout)
    assert report["ok"] is True


def test_scaffolded_tests_run_the_kit(installed: Command, call: Command) -> None:
    shortly = ["-q", "-p", "no:cacheprovider", "-k", "declaration or shapes or purity"]
    assert "3 passed" in call("-m", "pytest", *shortly, "celloquy-swirl/tests").stdout


def test_checkpoint_of_the_installed_cell_generates_and_names_its_distribution(trained: Command) -> None:
    line = trained("generate", "mine.swirl", "-p", "to be", "-n", "20", "--seed", "1", "--json").stdout
    record = json.loads(line)
    assert (record["cell"], record["tokens"], len(record["text"])) == ("swirl", 20, 20)
    information = trained("info", "mine.swirl", "--json").stdout
    assert "celloquy-swirl" in information
    assert "0.1.0" in information


def test_cells_of_the_family_are_swapped_in_mid_text(trained: Command, call: Command) -> None:
    call(
        "-c",
        "import celloquy\n"
        "writer = celloquy.load('mine.swirl', seed=1)\n"
        "text = 'to be' + ''.join(writer.stream('to be', length=10))\n"
        "writer.swap('lstm')\n"
        "text += ''.join(writer.stream('', length=10))\n"
        "assert (writer.cell_name, writer.transcript, len(text)) == ('lstm', text, 25)\n",
    )


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_cells_of_the_family_are_swapped_in_the_repl(
    trained: Command, folder: Path, python: Path, environment: dict[str, str], open_terminal: Any
) -> None:
    command = [str(python), "-m", "celloquy", "repl", "mine.lstm", "-n", "0"]
    terminal = open_terminal(command, environment, folder)
    terminal.wait(lambda: "ready" in terminal.status)
    terminal.send("to be\r")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send("\x1b[C")  # Right
    terminal.wait(lambda: "mine.swirl" in terminal.status and "streaming" in terminal.status)
    terminal.send("\x1b")
    terminal.wait(lambda: "ready" in terminal.status)
    assert terminal.leave() == 0


def test_checkpoint_outlives_its_plugin_and_says_what_to_install(trained: Command) -> None:
    done = trained("generate", "mine.swirl", "-p", "to", status=1, CELLOQUY_LOAD_PLUGINS="")
    assert "celloquy-swirl 0.1.0" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
