"""Faults of plugins while they run: one line that names the distribution; every other cell goes on working."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from plugins.registry import set_default_registry
from repl.app import Start, make_session
from repl.cli import cli
from repl.completion import SlashCompleter
from repl.events import Note
from repl.registration import load_registry

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]

CELL = """
from torch import tanh
from celloquy import Cell, hookimpl

class Swirl(Cell):
    input = "h"
    recurrent = {"h": "h"}

    def step(self, x, s, R, p):
        h = tanh(x.h + R.h(s.h).h)
        return {"h": h}

@hookimpl
def register_cells(register):
    register("swirl", Swirl)
"""

TEXT = "to be, or not to be, that is the question: whether it is nobler in the mind\n" * 30


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """``run("train", …)``: the command line, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path / "home"))
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments))

    yield invoke
    set_default_registry(None)


def train(run: Run, cells: str, *plugins: str, name: str = "t") -> Result:
    flags = [word for plugin in plugins for word in ("--plugin", plugin)]
    sizes = ["--hidden", "8", "--steps", "3", "--batch", "4", "--bptt", "16", "--threads", "1"]
    return run("train", "corpus.txt", "--name", name, "--cell", cells, *sizes, *flags)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    """Write ``swirl.py`` with a step whose result is spoiled by the given expression or statement."""

    def write(spoiled: str = "") -> str:
        lines = CELL.replace('        return {"h": h}\n', f"        {spoiled}\n") if spoiled else CELL
        (tmp_path / "swirl.py").write_text(lines, encoding="utf-8")
        return "swirl.py"

    return write


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ("raise ValueError('no')", "step raised ValueError: no"),
        ("raise SystemExit(0)", "step raised SystemExit"),
        ("return {'h': h[:, :3]}", "state h must come back with shape (4, 8), not (4, 3)"),
        ("return {'h': 1.0}", "state h must come back with shape (4, 8), not float"),
        ("return {}", "step must return the states h; it returned"),
        ("return h", "step must return the states h; it returned Tensor"),
        ("return {'h': h / 0 * 0}", "finite number"),
    ],
)
def test_step_that_fails_ends_its_training_with_one_line_and_status_1(
    run: Run, plugin: Any, spoiled: str, told: str
) -> None:
    result = train(run, "swirl", plugin(spoiled))
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert "swirl (swirl.py)" in last
    assert "Traceback" not in result.stderr
    assert train(run, "lstm", "swirl.py").exit_code == 0


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ("raise KeyError('no')", "step raised KeyError: 'no'"),
        ("return {'g': h}", "step must return the states h; it returned g"),
        ("return {'h': h[0]}", "state h must come back with shape"),
        ("return {'h': h / 0 * 0}", "NaN"),
    ],
)
def test_step_that_fails_in_generation_is_told_in_one_line(run: Run, plugin: Any, spoiled: str, told: str) -> None:
    assert train(run, "swirl,lstm", plugin()).exit_code == 0
    result = run("generate", "t.swirl", "-p", "to", "-n", "5", "--plugin", plugin(spoiled))
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert "swirl (swirl.py)" in last
    assert run("generate", "t.lstm", "-p", "to", "-n", "5", "--plugin", "swirl.py").exit_code == 0


def test_step_that_prints_reaches_no_result_and_is_told_once(run: Run, plugin: Any) -> None:
    assert train(run, "swirl", plugin()).exit_code == 0
    quiet = run("generate", "t.swirl", "-p", "to", "-n", "5", "--seed", "1", "--plugin", "swirl.py")
    loud = run(
        "generate", "t.swirl", "-p", "to", "-n", "5", "--seed", "1", "--plugin", plugin("print(h); return {'h': h}")
    )
    assert loud.exit_code == 0
    assert loud.stdout == quiet.stdout
    warnings = [line for line in loud.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: cell swirl (swirl.py) prints to standard output in its step; the text is left out"]


def test_checkpoint_whose_cell_is_missing_names_who_provided_it(run: Run, plugin: Any) -> None:
    assert train(run, "swirl,lstm", plugin()).exit_code == 0
    result = run("generate", "t.swirl", "-p", "to", "-n", "5")
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "'swirl'" in last
    assert "swirl.py" in last
    assert run("info", "t.swirl").exit_code == 0
    assert run("generate", "t.lstm", "-p", "to", "-n", "5").exit_code == 0


def test_checkpoint_of_another_version_of_its_cell_is_refused_with_both_versions(
    run: Run, plugin: Any, tmp_path: Path
) -> None:
    assert train(run, "swirl", plugin()).exit_code == 0
    text = CELL.replace('    input = "h"\n', '    input = "h"\n    version = 2\n')
    (tmp_path / "swirl.py").write_text(text, encoding="utf-8")
    result = run("generate", "t.swirl", "-p", "to", "-n", "5", "--plugin", "swirl.py")
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "version 1" in last
    assert "has 2" in last
    assert "swirl.py" in last


def test_cell_with_other_states_or_gates_than_its_checkpoint_is_refused(run: Run, plugin: Any, tmp_path: Path) -> None:
    assert train(run, "swirl", plugin()).exit_code == 0
    text = CELL.replace('    input = "h"\n', '    input = "hg"\n')
    (tmp_path / "swirl.py").write_text(text, encoding="utf-8")
    result = run("generate", "t.swirl", "-p", "to", "-n", "5", "--plugin", "swirl.py")
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_cell_that_fails_in_the_repl_is_named_and_the_others_write_on(
    run: Run, plugin: Any, tmp_path: Path, open_terminal: Any
) -> None:
    assert train(run, "swirl,lstm", plugin()).exit_code == 0
    plugin("print(h); raise ValueError('no')")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "celloquy", "repl", "t.lstm", "-n", "0", "--plugin", "swirl.py"]
    terminal = open_terminal(command, environment, tmp_path)
    terminal.wait(lambda: "ready" in terminal.status)
    terminal.send("to be\r")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send("\x1b[C")  # Right
    terminal.wait(lambda: "swirl (swirl.py): step raised ValueError: no" in terminal.text.replace("\n", ""))
    before = len(terminal.text)
    terminal.wait(lambda: "t.lstm" in terminal.status and len(terminal.text) > before + 50)
    terminal.send("\x1b")
    terminal.wait(lambda: "ready" in terminal.status)
    assert terminal.leave() == 0


def test_what_a_plugin_is_caught_at_is_a_note_on_the_live_screen(run: Run, plugin: Any) -> None:
    assert train(run, "swirl", plugin()).exit_code == 0
    registry = load_registry([plugin("print(h); return {'h': h}")])
    events: list[Any] = []
    session = make_session(Start("t.swirl", registry=registry), events.append)
    session.writer.generate("to", length=3)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes.count("cell swirl (swirl.py) prints to standard output in its step; the text is left out") == 1


def test_plugin_that_fails_to_load_is_told_and_the_command_works(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise SystemExit(9)", encoding="utf-8")
    result = train(run, "lstm", "bad.py")
    assert result.exit_code == 0
    assert "warning: plugin bad (bad.py): SystemExit: 9" in result.stderr
    assert (tmp_path / "checkpoints" / "t.lstm.safetensors").exists()


@pytest.fixture
def only(tmp_path: Path) -> str:
    """A plugin file with a sampler of one option."""
    (tmp_path / "only.py").write_text(
        "from celloquy import Option, Sampler, hookimpl\n"
        "class Only(Sampler):\n"
        "    name = 'only'\n"
        "    options = (Option('only', int, -1, 'Draw this token alone.', minimum=-1),)\n"
        "    def transform(self, logits, values, streams):\n"
        "        new = logits.new_full(logits.shape, float('-inf'))\n"
        "        new[:, values['only']] = 0\n"
        "        return new\n"
        "@hookimpl\n"
        "def register_samplers(register):\n"
        "    register(Only)\n",
        encoding="utf-8",
    )
    return "only.py"


def test_sampler_of_a_plugin_appears_as_a_flag_and_acts(run: Run, only: str) -> None:
    assert train(run, "lstm").exit_code == 0
    assert "--only" in run("generate", "--help", "--plugin", "only.py").stdout
    assert "--only" in run("repl", "--help", "--plugin", "only.py").stdout
    result = run("generate", "t", "-p", "to", "-n", "6", "--only", "5", "--no-echo", "--plugin", "only.py")
    assert result.exit_code == 0, result.stderr
    assert len(set(result.stdout.rstrip("\n"))) <= 1
    assert run("generate", "t", "--only", "-2", "--plugin", "only.py").exit_code == 2


def test_option_of_a_sampler_is_a_command_a_setting_and_part_of_what_is_saved(
    run: Run, only: str, tmp_path: Path
) -> None:
    assert train(run, "lstm").exit_code == 0
    events: list[Any] = []
    session = make_session(Start("t.lstm", registry=load_registry([only])), events.append)
    completer = SlashCompleter(lambda: session)
    assert "only" in [found.text for found in completer.get_completions(Document("/on"), CompleteEvent())]
    session.submit("/only 5")
    session.submit("/set")
    session.submit("/save talk.celloquy")
    notes = "\n".join(event.text for event in events if isinstance(event, Note))
    assert session.writer.settings["only"] == 5
    assert re.search(r"\bonly\b.*\b5\b", notes)
    saved = next(path for path in tmp_path.iterdir() if path.name.startswith("talk"))
    assert re.search(rb'"only": ?5\b', saved.read_bytes())


def test_family_keeps_its_other_cells_when_one_is_missing(run: Run, plugin: Any, tmp_path: Path) -> None:
    assert train(run, "swirl,lstm", plugin()).exit_code == 0
    shutil.rmtree(tmp_path / "checkpoints" / "t.swirl.run")
    result = run("list", "--json")
    assert result.exit_code == 0
    assert '"t.swirl"' in result.stdout
    assert '"t.lstm"' in result.stdout
