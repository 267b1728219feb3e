"""The shell: completion, help by topic, the manual page, the version with its libraries. None of it imports torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repl.cli import COMMANDS
from repl.versions import LIBRARIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CELLOQUY_")} | {
    "PYTHONPATH": str(ROOT)
}


@pytest.fixture
def complete(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """``complete("celloquy", "gen")``: what the last word may become, as the shell is told it."""
    from repl.cli import cli

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_CELLOQUY_COMPLETE", "bash_complete")
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        assert (left.value.code, err) == (0, "")
        return [line.partition(",")[2] if line.startswith("plain,") else line for line in out.split()]

    return ask


def test_the_first_word_is_a_command_or_a_checkpoint(complete: Run) -> None:
    assert complete("celloquy", "ge") == ["generate"]
    assert complete("celloquy", "tin") == ["tiny", "tiny.rnn", "tiny.lstm", "tiny.gru"]
    everything = complete("celloquy", "")
    assert {*COMMANDS, "tiny", "shakespeare.gru"} <= set(everything)
    assert "--version" in complete("celloquy", "--v")


def test_names_and_cells_are_completed_where_they_belong(complete: Run) -> None:
    assert complete("celloquy", "generate", "tiny.") == ["tiny.rnn", "tiny.lstm", "tiny.gru"]
    assert complete("celloquy", "info", "tiny", "--cell", "") == ["rnn", "lstm", "gru"]
    assert complete("celloquy", "tiny", "--cell", "g") == ["gru"]
    assert complete("celloquy", "train", "x.txt", "--cell", "lstm,g") == ["lstm,gru"]
    assert complete("celloquy", "train", "x.txt", "--from", "tiny.g") == ["tiny.gru"]
    assert "mingru" in complete("celloquy", "plugins", "check", "min")


def test_a_name_that_a_shell_would_run_is_not_offered(complete: Run, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    real = next(home.glob("tiny.rnn.*")).read_bytes()
    for name in (
        "tinier$(touch ran)",
        "tinier;ls",
        "tinier `ls`",
        "tinier\nls",
        "-tinier",
        "tinier*",
        "tinier&",
        "tinierя",
    ):
        (folder / f"{name}.rnn.safetensors").write_bytes(real)
    assert complete("celloquy", "info", "tinier") == ["tinierя", "tinierя.rnn"]
    assert complete("celloquy", "info", "-tinier") == []


def test_options_and_their_choices_are_completed(complete: Run) -> None:
    assert complete("celloquy", "train", "--sched") == ["--schedule"]
    assert complete("celloquy", "train", "x.txt", "--schedule", "c") == ["cosine", "constant"]
    assert complete("celloquy", "tiny", "--top-") == ["--top-k", "--top-p"]
    assert complete("celloquy", "plugins", "") == ["check", "list", "new"]
    assert complete("celloquy", "help", "exi") == ["exit-status"]


def test_files_are_left_to_the_shell(complete: Run) -> None:
    assert complete("celloquy", "train", "cor") == ["file,cor"]
    assert complete("celloquy", "eval", "./") == ["file,./"]
    assert complete("celloquy", "train", "x.txt", "--out", "c") == ["dir,c"]


def test_a_plugins_options_and_cells_are_completed(complete: Run, tmp_path: Path) -> None:
    (tmp_path / "swirl.py").write_text(
        "from celloquy import Cell, hookimpl\n"
        "class Swirl(Cell):\n    input = 'h'\n    state = {'h': 0.0}\n"
        "@hookimpl\ndef register_cells(register):\n    register('swirl', Swirl)\n"
    )
    assert complete("celloquy", "train", "--plugin", "swirl.py", "--cell", "sw") == ["swirl"]


def test_a_line_that_makes_no_sense_completes_to_nothing_and_says_nothing(complete: Run) -> None:
    assert complete("celloquy", "nosuch", "x") == []
    assert complete("celloquy", "train", "--plugin", "gone.py", "--cell", "zz") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(celloquy: Run, shell: str) -> None:
    done = celloquy("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert f"_CELLOQUY_COMPLETE={shell}_complete" in done.out
    assert "_celloquy_completion" in done.out
    if path := shutil.which(shell):  # the script itself is one that the shell can read
        subprocess.run([path, "-n"], input=done.out, text=True, check=True, capture_output=True)


def test_completion_knows_three_shells(celloquy: Run) -> None:
    done = celloquy("completion", "tcsh")
    assert done.status == 2
    assert "bash" in done.error_line


def test_bash_completes_with_the_printed_script(celloquy: Run, tmp_path: Path) -> None:
    program = tmp_path / "celloquy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m celloquy "$@"\n')
    program.chmod(0o755)
    script = celloquy("completion", "bash").out
    typed = "COMP_WORDS=(celloquy train --sched); COMP_CWORD=2; _celloquy_completion celloquy; echo ${COMPREPLY[@]}"
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{typed}"], env={**ENVIRONMENT, **path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["--schedule"]


def test_completion_help_and_manual_import_no_torch(home: Path) -> None:
    words = {"COMP_WORDS": "celloquy tiny --cell ", "COMP_CWORD": "3", "_CELLOQUY_COMPLETE": "bash_complete"}
    for arguments, more in (((), words), (("completion", "zsh"), {}), (("help", "train"), {}), (("help", "--man"), {})):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "celloquy", *arguments],
            env={**ENVIRONMENT, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout
        assert not re.search(r"\|\s+(torch|numpy)$", done.stderr, re.MULTILINE), arguments


# ---------------------------------------------------------------------- help


def test_help_alone_lists_commands_and_topics(celloquy: Run) -> None:
    done = celloquy("help")
    assert (done.status, done.err) == (0, "")
    assert all(f"  {name} " in done.out for name in COMMANDS)
    assert "exit-status" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_on_a_command_is_its_own_help(celloquy: Run, name: str) -> None:
    assert celloquy("help", name).out.split() == celloquy(name, "--help").out.split()


def test_help_reaches_subcommands_topics_and_commands_of_the_repl(celloquy: Run) -> None:
    assert celloquy("help", "plugins", "new").out.startswith("Usage: celloquy plugins new")
    assert "--mirostat" in celloquy("help", "sampling").out
    assert "CELLOQUY_HOME" in celloquy("help", "environment").out
    assert celloquy("help", "/temp").out.startswith("/temp T")


@pytest.mark.parametrize(
    ("topic", "near"), [("smapling", "sampling"), ("trian", "train"), ("/tmep", "/temp"), ("plugins nwe", "plugins")]
)
def test_a_misspelled_topic_suggests_the_nearest(celloquy: Run, topic: str, near: str) -> None:
    done = celloquy("help", *topic.split())
    assert (done.status, done.out) == (2, "")
    assert f"did you mean {near}?" in done.error_line


def test_a_topic_that_is_like_nothing_lists_the_topics(celloquy: Run) -> None:
    done = celloquy("help", "zzzzzz")
    assert done.status == 2
    assert "exit-status" in done.error_line


# ---------------------------------------------------------------------- the manual page


def test_the_manual_holds_every_command_option_and_topic(celloquy: Run) -> None:
    from checkpoints.options import TRAIN_OPTIONS

    done = celloquy("help", "--man")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith('.TH CELLOQUY 1 "" "celloquy ')
    assert done.out.isascii()
    text = done.out.replace("\\-", "-").replace("\\&", "")
    assert all(f'.SS "celloquy {name} ' in text for name in COMMANDS)
    assert all(f"\\fB--{option.name}" in text or f", --{option.name} " in text for option in TRAIN_OPTIONS)
    assert {".SH EXIT STATUSES", ".SH ENVIRONMENT VARIABLES", ".SH FILES"} <= set(text.splitlines())
    assert all(line.startswith(("\\&", ".")) or not line.startswith("'") for line in done.out.splitlines())


def test_every_request_of_the_manual_is_one_that_man_knows(celloquy: Run) -> None:
    lines = celloquy("help", "--man").out.splitlines()
    requests = {line.split()[0] for line in lines if line.startswith(".")}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi"}
    assert lines.count(".nf") == lines.count(".fi") > 0
    if path := shutil.which("groff"):
        page = celloquy("help", "--man").out
        done = subprocess.run([path, "-man", "-Tutf8", "-ww"], input=page, text=True, check=True, capture_output=True)
        assert done.stderr == ""
        assert "Divide the logits by this" in done.stdout


def test_help_takes_a_topic_or_a_format(celloquy: Run) -> None:
    for arguments in (("train", "--man"), ("--man", "--markdown")):
        done = celloquy("help", *arguments)
        assert (done.status, done.out) == (2, "")
        assert "one of them" in done.error_line


# ---------------------------------------------------------------------- the version


def test_the_version_names_every_library_it_is_built_on(celloquy: Run) -> None:
    done = celloquy("--version")
    first, *rest = done.out.splitlines()
    assert re.match(r"celloquy .* \(torch .*, Python 3\.\d+\.\d+\)$", first)
    told = [line.split()[0] for line in rest]
    assert told[: len(LIBRARIES)] == list(LIBRARIES)


def test_the_libraries_are_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=;\s]", line, maxsplit=1)[0] for line in project["dependencies"] if ";" not in line}
    assert set(LIBRARIES) == declared, "repl/versions.py lists what pyproject.toml declares"
