"""``import celloquy``: the public names, what they cost, and what may stand in their way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import celloquy

HOUSE = Path(celloquy.__file__).parent.parent
Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """``python("-c", code)``: another interpreter, in an empty folder, that finds this Celloquy."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {**os.environ, "PYTHONPATH": str(HOUSE), "CELLOQUY_LOAD_PLUGINS": "", **environment}
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize("name", celloquy.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(celloquy, name) is getattr(celloquy, name)
    assert name in dir(celloquy)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        celloquy.nonsense  # noqa: B018


def test_every_expected_failure_is_a_celloquy_error() -> None:
    with pytest.raises(celloquy.CelloquyError, match="there is no checkpoint 'nosuch'"):
        celloquy.load("nosuch")
    assert issubclass(celloquy.UsageError, celloquy.CelloquyError)


def test_writing_a_plugin_needs_no_torch(python: Python) -> None:
    code = (
        "from celloquy import Cell, hookimpl, Option, Sampler, CelloquyError; import sys; print('torch' in sys.modules)"
    )
    assert python("-c", code).stdout == "False\n"


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list",), ("list", "--json"), ("plugins",), ("generate", "--help")]
)
def test_commands_that_compute_nothing_do_not_import_torch(python: Python, arguments: tuple[str, ...]) -> None:
    code = (
        "import atexit, sys; sys.argv[0] = 'celloquy';"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr));"
        "from celloquy.__main__ import main; main()"
    )
    done = python("-c", code, *arguments)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "False"


def test_a_checkpoint_loads_without_the_slow_half_of_torch(python: Python) -> None:
    code = (
        "import celloquy, sys; print(len(celloquy.load().generate('ROMEO:', 10, seed=1)));"
        "slow = ('torch._dynamo', 'torch._inductor', 'sympy', 'prompt_toolkit', 'rich');"
        "print([name for name in slow if name in sys.modules])"
    )
    assert python("-c", code).stdout == "10\n[]\n"


def test_a_data_folder_named_checkpoints_is_in_nobodys_way(python: Python, tmp_path: Path) -> None:
    for room in ("checkpoints", "plugins", "cells", "repl"):
        (tmp_path / room).mkdir()
    done = python("-m", "celloquy", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    # the worst case: only a finder behind the path knows Celloquy, as in an editable installation
    code = (
        "import importlib.util, os, sys\n"
        "class Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        file = os.path.join(os.environ['HOUSE'], name, '__init__.py')\n"
        "        return importlib.util.spec_from_file_location(name, file) if os.path.exists(file) else None\n"
        "sys.meta_path.append(Finder)\n"
        "import celloquy, checkpoints.finding\n"
        "print(celloquy.Cell.__module__, len(checkpoints.finding.search_folders()))\n"
    )
    done = python("-c", code, PYTHONPATH="", HOUSE=str(HOUSE))
    assert (done.stdout, done.stderr) == ("cells.cell 3\n", "")


@pytest.mark.parametrize("hidden", ["cells.py", "plugins/__init__.py"])
def test_what_hides_a_package_is_named(python: Python, tmp_path: Path, hidden: str) -> None:
    (tmp_path / hidden).parent.mkdir(exist_ok=True)
    (tmp_path / hidden).write_text("")
    done = python("-m", "celloquy", "list")
    room = hidden.split("/")[0].removesuffix(".py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"error: {tmp_path / hidden} hides Celloquy's own package {room!r}: "
        "rename it, or start from another folder so that it is not found first"
    ]
    imported = python("-c", "import celloquy")
    assert imported.stderr.splitlines()[-1].startswith(f"ImportError: {tmp_path / hidden} hides")
