"""What scripts do to a program: closed pipes, no home, strange locales, ten thousand prompts, eight at once."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from reliability_kit.children import ROOT
from reliability_kit.ledger import Ledger

PROMISE = "scripts with closed pipes, no home, any locale, no standard output: the promised text and status"
GENERATE = ("generate", "tiny.lstm", "-p", "the ☃", "-n", "8", "--seed", "1")


def celloquy(
    folder: Path, *arguments: str, wrapper: Sequence[str] = (), **how: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run the real program in ``folder``; ``env`` replaces what it would have, None takes a variable away."""
    env: dict[str, str | None] = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "CELLOQUY_LOAD_PLUGINS": "",
        "HOME": str(folder),
        **how.pop("env", {}),
    }
    command = [*wrapper, sys.executable, "-m", "celloquy", *arguments]
    set_env = {key: value for key, value in env.items() if value is not None}
    how = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 240, **how}
    return subprocess.run(command, cwd=folder, env=set_env, check=False, **how)


def sane(done: subprocess.CompletedProcess[bytes]) -> None:
    assert b"Traceback" not in (done.stderr or b""), done.stderr
    assert b"fault in the program" not in (done.stderr or b""), done.stderr


@pytest.mark.parametrize("command", ["generate", "list", "info", "step"])
def test_a_closed_pipe_ends_quietly(speaker: Path, ledger: Ledger, command: str) -> None:
    arguments = {
        "generate": ("generate", "tiny.lstm", "-p", "a", "-n", "100000"),
        "list": ("list",),
        "info": ("info", "tiny"),
        "step": ("step", "tiny.lstm", "the king"),
    }
    with ledger.attempt(PROMISE):
        read, write = os.pipe()
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(speaker)}
        process = subprocess.Popen(
            [sys.executable, "-m", "celloquy", *arguments[command]],
            cwd=speaker, env=env, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(write)
        if command == "generate":
            assert os.read(read, 1)
        os.close(read)
        _, said = process.communicate(timeout=240)
        assert process.returncode in (0, -13), said
        assert all(line.startswith(b"seed ") for line in said.splitlines()), said


def test_every_locale_gives_the_same_bytes(speaker: Path, ledger: Ledger) -> None:
    texts = set()
    locales: list[dict[str, str | None]] = [
        {"LANG": "C.UTF-8"},
        {"LANG": "C", "LC_ALL": "C"},
        {"LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "utf-16"},
    ]
    for env in locales:
        with ledger.attempt(PROMISE):
            done = celloquy(speaker, *GENERATE, env=env)
            assert done.returncode == 0, done.stderr
            sane(done)
            texts.add(done.stdout)
    assert len(texts) == 1
    assert texts.pop().startswith("the ☃".encode())


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": None},
        {"HOME": "/nonexistent/home"},
        {"HOME": "/proc/none", "CELLOQUY_HOME": "/dev/null/x"},
        {"HOME": "", "CELLOQUY_HOME": ""},
        {"CELLOQUY_HOME": "\udcff\x01"},
        {"PATH": ""},
        {"TERM": "strange", "COLUMNS": "-3", "NO_COLOR": ""},
        {"TMPDIR": "/nonexistent", "TMP": "/nonexistent"},
    ],
    ids=lambda env: " ".join(env) if isinstance(env, dict) else "",
)
def test_no_home_is_needed(speaker: Path, ledger: Ledger, env: dict[str, str | None]) -> None:
    with ledger.attempt(PROMISE):
        done = celloquy(speaker, "list", env=env)
        assert done.returncode == 0, done.stderr
        assert b"tiny.lstm" in done.stdout
        sane(done)


def test_no_home_is_needed_to_generate(speaker: Path, ledger: Ledger) -> None:
    with ledger.attempt(PROMISE):
        done = celloquy(speaker, *GENERATE, env={"HOME": None, "PATH": "", "TMPDIR": "/nonexistent"})
        assert done.returncode == 0, done.stderr
        sane(done)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/full"])
@pytest.mark.parametrize("command", ["list", "info tiny", "nonsense"])
def test_standard_streams_may_be_closed_or_full(speaker: Path, ledger: Ledger, closed: str, command: str) -> None:
    with ledger.attempt(PROMISE):
        shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
        done = celloquy(speaker, *command.split(), wrapper=shell)
        sane(done)
        if command == "nonsense":
            assert done.returncode == 2
        elif closed == "> /dev/full":
            assert done.returncode == 1
            assert b"No space left" in done.stderr
        else:
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("closed", ["2> /dev/full", "2> >(exec true)"])
def test_a_result_is_printed_though_nobody_reads_the_remarks(speaker: Path, ledger: Ledger, closed: str) -> None:
    with ledger.attempt(PROMISE):
        shell = ["bash", "-c", f'exec "$@" {closed}', "bash"]
        done = celloquy(speaker, "generate", "tiny.lstm", "-p", "the ☃", "-n", "8", wrapper=shell)
        assert (done.returncode, len(done.stdout.decode())) == (0, 13)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "> /dev/full"])
def test_generate_with_closed_or_full_output(speaker: Path, ledger: Ledger, closed: str) -> None:
    with ledger.attempt(PROMISE):
        done = celloquy(speaker, *GENERATE, wrapper=["sh", "-c", f'exec "$@" {closed}', "sh"])
        assert done.returncode == (1 if "full" in closed else 0), done.stderr
        sane(done)


def test_a_read_only_home_is_no_obstacle(speaker: Path, ledger: Ledger, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        home.chmod(0o555)
        wrapper: list[str] = []
    else:
        wrapper = [unshare, "-m", "sh", "-c", f'mount -t tmpfs -o ro tmpfs {home} || exit 77; exec "$@"', "sh"]
    with ledger.attempt(PROMISE):
        done = celloquy(speaker, *GENERATE, wrapper=wrapper, env={"HOME": str(home), "CELLOQUY_HOME": str(home / "c")})
        if done.returncode == 77:
            pytest.skip("this root cannot mount")
        assert done.returncode == 0, done.stderr
        sane(done)


def prompts_by_lines(folder: Path, count: int, length: int) -> tuple[int, int]:
    """``generate --lines`` on so many prompts: how many came back, and the peak of memory in kilobytes."""
    prompts = "".join(f"the king {number}\n" for number in range(count)).encode()
    code = (
        "import resource, subprocess, sys;"
        "status = subprocess.run(sys.argv[1:]).returncode;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr);"
        "sys.exit(status)"
    )
    wrapper = [sys.executable, "-c", code]
    arguments = ("generate", "tiny.lstm", "--lines", "--json", "-n", str(length), "--seed", "1")
    done = celloquy(folder, *arguments, wrapper=wrapper, stdin=None, input=prompts)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["prompt"] for row in rows] == [f"the king {number}" for number in range(count)]
    assert all(row["tokens"] == length for row in rows)
    return len(rows), int(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("count", [1500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_thousands_of_prompts_by_lines_take_no_more_memory_than_a_few(
    speaker: Path, ledger: Ledger, count: int
) -> None:
    with ledger.attempt("thousands of prompts by --lines: all answered, in order, in constant memory", count):
        _, few = prompts_by_lines(speaker, 100, 2)
        done, many = prompts_by_lines(speaker, count, 2)
        assert done == count
        assert many - few < 20_000, f"{many - few} kB more"


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_several_generate_at_once_give_what_each_gives_alone(speaker: Path, ledger: Ledger, count: int) -> None:
    with ledger.attempt("generate many times at once on two cores: the same text as alone", count):
        alone = celloquy(speaker, *GENERATE).stdout
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(speaker), "CELLOQUY_LOAD_PLUGINS": ""}
        command = [sys.executable, "-m", "celloquy", *GENERATE]
        together = [
            subprocess.Popen(command, cwd=speaker, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            for _ in range(count)
        ]
        texts = {process.communicate(timeout=600)[0] for process in together}
        assert texts == {alone}
        assert all(process.returncode == 0 for process in together)


def test_limits_of_memory_and_files_are_one_line(speaker: Path, ledger: Ledger) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))

    with ledger.attempt(PROMISE):
        done = celloquy(speaker, "list", preexec_fn=few_files)
        assert done.returncode in (0, 1)
        assert b"Segmentation" not in done.stderr
