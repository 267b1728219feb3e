"""``celloquy plugins``: list, new, check."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cells.errors import CelloquyError, UsageError
from plugins.registry import set_default_registry
from plugins.scaffold import names, scaffold
from repl.cli import cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    yield lambda *arguments: CliRunner().invoke(cli, ["plugins", *arguments])
    set_default_registry(None)


@pytest.mark.parametrize("arguments", [("--json",), ("list", "--json"), ("--json", "list")])
def test_list_as_json_holds_plugins_and_failures(run: Run, write_file: Any, arguments: tuple[str, ...]) -> None:
    write_file("bad.py", "raise SystemExit('no')")
    result = run(*arguments, "--plugin", "bad.py")
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert [cell["name"] for cell in data["plugins"][0]["cells"]] == ["rnn", "lstm", "gru"]
    assert data["failures"] == [{"plugin": "bad", "distribution": "bad.py", "message": "SystemExit: no"}]
    samplers = {s["name"]: s["options"] for plugin in data["plugins"] for s in plugin["samplers"]}
    assert samplers["mirostat"] == ["mirostat", "mirostat-rate"]
    assert {"top-k", "top-p", "min-p", "repetition-penalty"} <= set(samplers)


def test_list_for_a_person_names_what_failed_and_why(run: Run, write_file: Any, good_plugin: str) -> None:
    write_file("bad.py", "raise OSError('no disk')")
    write_file("good.py", good_plugin)
    result = run("--plugin", "bad.py", "--plugin", "good.py")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    place = lines.index("good.py")
    assert lines[place + 1].split() == ["cell", "swirl", "A", "swirl."]
    assert lines[-2:] == ["failed to load", "  plugin bad of bad.py: OSError: no disk"]


def test_summary_of_a_stranger_cannot_move_the_cursor(run: Run, write_file: Any, good_plugin: str) -> None:
    write_file("good.py", good_plugin.replace("A swirl.", "A \x1b[2Jswirl."))
    assert "\x1b" not in run("--plugin", "good.py").stdout


def test_check_passes_a_good_cell_and_prints_a_line_a_check(run: Run) -> None:
    result = run("check", "mingru")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.startswith("cell mingru: all ")
    assert "\naffine " in result.stdout


def test_check_of_a_file_fails_with_status_1_and_the_reason(run: Run, write_file: Any, good_plugin: str) -> None:
    write_file("mine.py", good_plugin.replace("    input =", "    vectors = {'v': 0.0}\n    input ="))
    result = run("check", "mine.py", "--json")
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert (report["cell"], report["ok"]) == ("swirl (mine.py)", False)
    (failed,) = [check for check in report["checks"] if check["status"] == "failed"]
    assert "vector v" in failed["message"]


def test_check_sees_what_a_fence_would_hide(run: Run, write_file: Any, good_plugin: str) -> None:
    write_file("mine.py", good_plugin.replace("        return", "        print(1)\n        return"))
    result = run("check", "mine.py", "--plugin", "mine.py", "--json")
    failed = [check["check"] for check in json.loads(result.stdout)[0]["checks"] if check["status"] == "failed"]
    assert failed == ["purity"]


def test_check_takes_options_of_the_cell(run: Run) -> None:
    assert run("check", "rnn", "--cell-option", "activation=relu").exit_code == 0
    wrong = run("check", "rnn", "--cell-option", "activation=sine")
    assert wrong.exit_code == 2
    assert "activation must be tanh or relu" in wrong.stderr
    assert run("check", "rnn", "--cell-option", "activation").exit_code == 2


def test_check_runs_only_what_is_asked_for(run: Run) -> None:
    result = run("check", "gru", "--only", "declaration", "--only", "purity")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["cell", "declaration", "purity"]
    wrong = run("check", "gru", "--only", "spelling")
    assert wrong.exit_code == 2
    assert "there is no check 'spelling'; there are: declaration" in wrong.stderr


def test_check_that_applies_to_nothing_is_no_success(run: Run) -> None:
    result = run("check", "gru", "--only", "affine")
    assert result.exit_code == 1
    assert "no check applies" in result.stdout


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("nobody", None, "there is no cell, plugin or file 'nobody'"),
        ("gone.py", None, "there is no file"),
        ("bad.py", "1 / 0", "ZeroDivisionError"),
        ("none.py", "from celloquy import hookimpl\n@hookimpl\ndef register_cells(register): pass", "nothing to check"),
    ],
)
def test_check_of_what_cannot_be_checked_is_an_error(
    run: Run, write_file: Any, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        write_file(name, text)
    result = run("check", name)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_new_says_what_it_wrote_and_refuses_to_overwrite(run: Run, tmp_path: Path) -> None:
    result = run("new", "swirl", "--json")
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert all((tmp_path / file).is_file() for file in data["files"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run("new", "swirl")
    assert again.exit_code == 1
    assert "exists already; nothing was written" in again.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_new_refuses_the_name_of_a_cell_that_there_is(run: Run) -> None:
    result = run("new", "lstm")
    assert result.exit_code == 2
    assert "there is a cell 'lstm' already" in result.stderr


@pytest.mark.parametrize("name", ["", "Swirl", "../x", "a b", "1st", "a--b", "-x", "x-", "é", "x" * 41])
def test_name_that_cannot_be_a_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a plugin's name must be"):
        scaffold(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "package", "class_name", "distribution"),
    [
        ("swirl", "celloquy_swirl", "Swirl", "celloquy-swirl"),
        ("two-words", "celloquy_two_words", "TwoWords", "celloquy-two-words"),
        ("with_score2", "celloquy_with_score2", "WithScore2", "celloquy-with-score2"),
        ("none", "celloquy_none", "NoneCell", "celloquy-none"),
        ("cell", "celloquy_cell", "CellCell", "celloquy-cell"),
    ],
)
def test_names_of_a_project(name: str, package: str, class_name: str, distribution: str) -> None:
    found = names(name)
    assert (found["package"], found["class_name"], found["distribution"]) == (package, class_name, distribution)


@pytest.mark.parametrize("name", ["swirl", "two-words", "none"])
def test_every_file_of_a_new_project_is_complete_and_parses(tmp_path: Path, name: str) -> None:
    root, *files = scaffold(name, tmp_path)
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "$" not in text
        if file.suffix == ".py":
            ast.parse(text)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["celloquy"] == {name: names(name)["package"]}


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CelloquyError, match="cannot be made"):
        scaffold("swirl", tmp_path / "file")
