"""README.md: every block works as printed, every name on the page exists, every figure is the checkpoint's own.

Commands run in a shell as a reader would type them, with a small corpus and, for training only, tiny sizes appended.
The two marked commands are what ``.ci/run`` runs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoints.finding import SHIPPED, describe, find
from checkpoints.recipe import read_recipe
from plugins.options import OptionSet
from repl.cli import COMMANDS
from repl.slash import command_table

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- run: (\w+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
TEXT = "to be, or not to be, that is the question: whether it is nobler in the mind\n" * 40
TINY = "--hidden 8 --batch 4 --bptt 16 --threads 1 --precision fp32"

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


def lines(beginning: str) -> list[str]:
    """The page's unmarked shell lines that begin so."""
    shown = [line for mark, language, text in BLOCKS if language == "sh" and not mark for line in text.splitlines()]
    return [line for line in shown if line.startswith(beginning)]


def block(language: str, holds: str) -> str:
    """The one block of this language that holds a text."""
    (found,) = [text for _, kind, text in BLOCKS if kind == language and holds in text]
    return str(found)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell in a reader's folder: two texts, the plugin of the page, and ``celloquy`` on the path."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "mybook.txt").write_text(TEXT, encoding="utf-8")
    (folder / "another.txt").write_text(TEXT[:500], encoding="utf-8")
    (folder / "swirl.py").write_text(block("python", "# swirl.py"), encoding="utf-8")
    program = folder / "bin" / "celloquy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m celloquy "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("CELLOQUY_")}
    settings |= {"PYTHONPATH": str(ROOT), "CELLOQUY_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    settings["PATH"] = f"{program.parent}{os.pathsep}{settings['PATH']}"

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def trained(shell: Shell) -> Shell:
    """The same shell after the page's first training command."""
    line = lines("celloquy train mybook.txt")[0].replace("--minutes 5", "--steps 2")
    assert "--steps 2" in line
    done = shell(f"{line} {TINY}")
    assert done.stdout.splitlines() == [f"checkpoints/mybook.{cell}.safetensors" for cell in ("rnn", "lstm", "gru")]
    return shell


def test_training_leaves_what_the_page_says(trained: Shell) -> None:
    assert "`./checkpoints/mybook.lstm.safetensors`" in PAGE
    kept = trained("ls checkpoints/mybook.lstm.safetensors checkpoints/mybook.lstm.run").stdout.split()
    assert {"checkpoints/mybook.lstm.safetensors", "log.jsonl", "resume.safetensors"} <= set(kept)


def test_the_lines_after_training_work_as_printed(trained: Shell) -> None:
    shown = [lines(beginning) for beginning in ("celloquy list", "celloquy info mybook", "celloquy eval mybook")]
    for line in (one for found in shown for one in found if "--overlap" not in one):
        done = trained(line)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout
    assert "mybook.lstm" in trained("celloquy list").stdout
    opened = trained(*lines("celloquy mybook"))  # there is no terminal here; tests/terminal has one
    assert (opened.returncode, opened.stdout) == (2, "")
    assert "needs a terminal" in opened.stderr


def test_the_lines_for_scripts_work_as_printed(shell: Shell) -> None:
    (line,) = lines('celloquy generate -p "ROMEO:"')
    first, second = shell(line), shell(line)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert len(first.stdout) == len("ROMEO:") + 300
    (piped,) = lines('echo "To be"')
    done = shell(piped)
    assert json.loads(done.stdout)["prompt"] == "To be\n"


def test_the_python_example_works_as_printed(shell: Shell) -> None:
    done = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(block('python', 'celloquy.load'))}")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) == 200


def test_the_cell_of_the_page_passes_the_kit_trains_and_speaks(shell: Shell) -> None:
    (check,) = lines("celloquy plugins check")
    checked = shell(check)
    assert (checked.returncode, checked.stderr) == (0, "")
    (train,) = [line for line in lines("celloquy train") if "swirl.py" in line]
    done = shell(f"{train} {TINY} --steps 2")
    assert done.stdout.split() == ["checkpoints/mybook.swirl.safetensors"]
    spoken = shell("celloquy generate mybook.swirl --plugin swirl.py -p to -n 10 --seed 1")
    assert (spoken.returncode, spoken.stderr, len(spoken.stdout)) == (0, "", 12)


def test_the_rebuilding_command_names_what_there_is() -> None:
    (line,) = [line for line in lines("celloquy train") if "--recipe" in line]
    words = shlex.split(line.partition(")")[2])
    assert words[::2] == ["--recipe", "--out"]
    assert read_recipe(ROOT / words[1])


def test_the_tables_of_checkpoints_are_what_the_files_say() -> None:
    rows = re.findall(r"^\| `(\S+)` \| ([\d,]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    shipped = {path.name.removesuffix(".safetensors"): describe(path) for path in SHIPPED.glob("*.safetensors")}
    said = {name: (f"{one['parameters']:,}", f"{one['val_loss']:.3f}") for name, one in shipped.items()}
    assert {name: (parameters, loss) for name, parameters, loss in rows} == said


def test_every_command_and_checkpoint_in_the_prose_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path))
    named = re.findall(r"`celloquy ([^`]+)`", BLOCK.sub("", PAGE))
    assert len(named) >= 5
    for first, *_ in map(shlex.split, named):
        assert first in COMMANDS or find(first)


def test_every_repl_command_in_the_prose_exists() -> None:
    known = command_table(OptionSet())
    named = re.findall(r"`/(\w[\w-]*)", BLOCK.sub("", PAGE))
    assert len(named) >= 3
    assert [name for name in named if name not in known] == []
