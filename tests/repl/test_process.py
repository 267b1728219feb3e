"""The program as a process among others: pipes that close, locales, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

HOUSE = Path(__file__).resolve().parent.parent.parent
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(home: Path) -> Start:
    """``start("generate", "tiny", …)``: the program as a process, its ends pipes."""

    def run(
        *arguments: str, out: int | IO[Any] = subprocess.PIPE, program: str = "", **environment: str
    ) -> subprocess.Popen[bytes]:
        settings = {**os.environ, "PYTHONPATH": str(HOUSE), "OMP_NUM_THREADS": "1", **environment}
        command = ["bash", "-c", program] if program else [sys.executable, "-m", "celloquy", *arguments]
        return subprocess.Popen(
            command, env=settings, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, start_new_session=True
        )

    return run


def test_a_pipe_that_closes_ends_quietly(start: Start) -> None:
    process = start("generate", "tiny", "-p", "a", "-n", "1000000", "--seed", "1")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    assert len(process.stdout.read(20)) == 20
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 0
    process.stderr.close()


def test_a_shell_pipeline_ends_quietly(start: Start) -> None:
    line = f"set -o pipefail; {sys.executable} -m celloquy generate tiny -p ROMEO: -n 3000 --seed 7 | head -c 20"
    out, err = start(program=line).communicate(timeout=60)
    assert (len(out), err) == (20, b"")


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LANG": "C"}])
def test_any_locale_reads_and_writes_utf8(start: Start, locale: dict[str, str]) -> None:
    out, err = start("generate", "tiny", "-p", "你☃", "-n", "3", "--seed", "1", **locale).communicate(timeout=60)
    assert out.decode().startswith("你☃")
    assert err.decode() == "warning: tiny.gru does not know '☃' (U+2603): read as unknown\n"


def test_bytes_that_are_not_utf8_on_the_command_line_come_out_as_they_are(start: Start) -> None:
    line = f"{sys.executable} -m celloquy generate tiny -p $'a\\xff' -n 1 --seed 1"
    out, err = start(program=line).communicate(timeout=60)
    assert out.startswith(b"a\xff")
    assert err.startswith(b"warning: ")


def test_a_full_disk_is_one_line(start: Start) -> None:
    with open("/dev/full", "wb") as full:
        process = start("generate", "tiny", "-p", "a", "-n", "9", "--seed", "1", out=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"error: No space left on device\n")


def test_a_closed_standard_output_does_no_harm(start: Start) -> None:
    process = start(program=f"{sys.executable} -m celloquy list >&-; {sys.executable} -m celloquy list 2>&-")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"tiny.gru" in out


def test_ctrl_c_is_one_line_and_status_130(start: Start) -> None:
    process = start("generate", "tiny", "-p", "a", "-n", "100000000", "--seed", "1")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    process.stdout.read(100)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) == 130
    assert process.stderr.read() == b"interrupted\n"
    process.stdout.close()
    process.stderr.close()
