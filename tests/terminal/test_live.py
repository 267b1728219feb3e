"""The main job on a real pseudo-terminal: text streams, keys act on it, and it stays where it was."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest
from terminal_kit.harness import (
    CTRL_C,
    CTRL_D,
    CTRL_DOWN,
    CTRL_UP,
    CTRL_Z,
    DOWN,
    ENTER,
    ESC,
    LEFT,
    RIGHT,
    SPACE,
    UP,
    Terminal,
)

Open = Callable[..., Terminal]


def streamed(terminal: Terminal, characters: int) -> Callable[[], bool]:
    """Whether so many more characters than now are on the screen and above it."""
    before = len(terminal.everything)
    return lambda: len(terminal.everything) >= before + characters


def test_the_main_job_from_opening_to_leaving(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0", "--cell", "lstm", real=True)
    terminal.wait(lambda: "tiny.lstm" in terminal.status)
    terminal.wait(lambda: "T 0.80" in terminal.status)
    terminal.wait(lambda: re.search(r"seed \d+", terminal.status))
    assert "Type a line and Enter" in terminal.text

    terminal.line("ROMEO:")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.wait(streamed(terminal, 200))
    assert "ROMEO:" in terminal.everything
    terminal.wait(lambda: re.search(r"\d tok/s", terminal.status))

    terminal.send(UP)
    terminal.wait("T 0.85")
    terminal.wait(streamed(terminal, 50))

    terminal.send(RIGHT)
    terminal.wait("tiny.gru")
    terminal.wait(streamed(terminal, 100))

    terminal.send(ESC)
    terminal.wait(lambda: "ready" in terminal.status)
    stopped = terminal.settle()
    assert terminal.settle() == stopped

    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    kept = terminal.everything
    assert stopped.splitlines()[-3] in kept
    assert "tok/s" not in terminal.text


def test_up_and_down_turn_the_temperature_while_text_streams(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send(UP, UP)
    terminal.wait("T 0.90")
    terminal.send(DOWN, DOWN, DOWN)
    terminal.wait("T 0.75")
    terminal.send(ESC)
    terminal.wait(lambda: "ready" in terminal.status)
    terminal.send(CTRL_UP)
    terminal.wait("T 0.80")


def test_left_and_right_walk_through_the_family_and_around(open_repl: Open) -> None:
    terminal = open_repl("tiny.lstm", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    for key, name in ((LEFT, "tiny.rnn"), (LEFT, "tiny.gru"), (RIGHT, "tiny.rnn"), (RIGHT, "tiny.lstm")):
        terminal.send(key)
        terminal.wait(name)
    terminal.wait(lambda: "streaming" in terminal.status)


def test_space_pauses_and_goes_on(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send(SPACE)
    terminal.wait("paused")
    paused = terminal.settle()
    assert terminal.settle() == paused
    terminal.send(SPACE)
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.wait(streamed(terminal, 100))


def test_with_text_in_the_line_the_arrows_edit_it_and_enter_gives_it_in_mid_stream(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send("HARLOT", LEFT, LEFT, "X", " ")
    terminal.wait("› HARLX OT")
    terminal.wait(lambda: "tiny.lstm" in terminal.status)
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send(ENTER)
    terminal.wait(lambda: "HARLXOT" in "".join(terminal.everything.split()) and "› HARLX" not in terminal.text)
    terminal.wait(streamed(terminal, 100))
    terminal.wait(lambda: "streaming" in terminal.status)


def test_ctrl_c_stops_and_at_an_empty_prompt_says_how_to_leave(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send(CTRL_C)
    terminal.wait(lambda: "ready" in terminal.status)
    terminal.send("half a line")
    terminal.wait("› half a line")
    terminal.send(CTRL_C)
    terminal.wait(lambda: "half a line" not in terminal.text)
    terminal.send(CTRL_C)
    terminal.wait("Ctrl-D or /quit leaves")
    terminal.send(CTRL_C * 100)
    terminal.line("/quit")
    assert terminal.leave() == 0


def test_ctrl_up_and_down_turn_the_temperature_whatever_is_typed(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.send("half a line")
    terminal.wait("› half a line")
    terminal.send(CTRL_UP, CTRL_UP, CTRL_DOWN)
    terminal.wait("T 0.85")
    assert "› half a line" in terminal.text
    terminal.send(CTRL_C)
    terminal.line("A")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.send("xyz", CTRL_DOWN, CTRL_DOWN)
    terminal.wait("T 0.75")
    terminal.wait("› xyz")


@pytest.mark.skipif(shutil.which("bash") is None, reason="a shell with job control suspends")
def test_ctrl_z_suspends_and_fg_goes_on_where_it_stood(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0", "--seed", "1", shell=True)
    terminal.line("ROMEO:")
    terminal.wait(streamed(terminal, 200))
    terminal.send(CTRL_Z)
    terminal.wait(lambda: re.search(r"Stopped", terminal.text))
    terminal.line("echo $((6 * 7))")
    terminal.wait("\n42\n")
    assert "tok/s" not in terminal.text
    terminal.line("fg")
    terminal.wait(lambda: "streaming" in terminal.status)
    terminal.wait(streamed(terminal, 200))
    terminal.send(CTRL_D)
    terminal.wait(lambda: terminal.status == "$")
    terminal.line("exit $?")
    assert terminal.leave() == 0
