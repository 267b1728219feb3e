"""Hostile and odd, on a real pseudo-terminal: the REPL stays, says what happened in one line, and loses no text."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal_kit.families import LETTERS, save_cell
from terminal_kit.harness import CTRL_C, CTRL_D, ENTER, ESC, RIGHT, SPACE, UP, Terminal, paste

from cells.cell import Cell
from cells.errors import CelloquyError
from checkpoints.tokenizers import CharTokenizer
from repl.autosave import folder, latest

Open = Callable[..., Terminal]


def squeezed(text: str) -> str:
    """A text without its white space: what does not depend on where rows end."""
    return "".join(text.split())


def ready(terminal: Terminal) -> Callable[[], bool]:
    return lambda: "ready" in terminal.status


def streaming(terminal: Terminal) -> Callable[[], bool]:
    return lambda: "streaming" in terminal.status


def transcript(terminal: Terminal, place: Path) -> str:
    """What the session itself holds as its text."""
    terminal.line("/save kept.json")
    terminal.wait(lambda: (place / "kept.json").exists())
    return str(json.loads((place / "kept.json").read_text())["transcript"])


def shown(terminal: Terminal) -> str:
    """The text after the prompt, as far as the last whole frame showed it."""
    terminal.wait(lambda: "\n›" in terminal.everything)
    return squeezed(terminal.everything.rpartition("\n›")[0].partition("ROMEO:")[2])


def test_hostile_text_of_a_model_is_shown_and_does_nothing(open_repl: Open, place: Path) -> None:
    terminal = open_repl("hostile", "-n", "2000", "--seed", "1", "-t", "1.5", columns=60)
    before = len(terminal.raw)
    terminal.line("a")
    terminal.wait(lambda: len(terminal.everything) > 1500)
    terminal.wait(ready(terminal))
    written = terminal.raw[before:].decode()
    text = transcript(terminal, place)
    assert {"\x1b", "\x07", "\r", "\x9b", "\u202e"} <= set(text)
    assert "\x1b[2J" not in written
    assert "\x1b]" not in written
    assert not set("\x07\x9b\u202e\x7f") & set(written)
    for picture in "␛␇␍␈␡":
        assert picture in terminal.everything
    assert "<9B>" in squeezed(terminal.everything)
    assert "<202E>" in squeezed(terminal.everything)
    assert "<200B>" in squeezed(terminal.everything)
    terminal.send(CTRL_D)
    assert terminal.leave() == 0


def test_a_paste_of_a_hundred_kilobytes_is_given_whole(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "5")
    text = "the quick brown fox\n" * 5000
    terminal.send(paste(text))
    terminal.wait("[pasted text 1: 100,000 characters]")
    terminal.send(ENTER)
    terminal.wait(lambda: terminal.everything.count("the quick brown fox") >= 5000)
    terminal.wait(ready(terminal))
    assert transcript(terminal, place)[:100_000] == text
    assert terminal.everything.count("the quick brown fox") == 5000


def test_invalid_bytes_are_read_as_something_and_said(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "5")
    terminal.send("A\udcff\udcfeB", ENTER)
    terminal.wait("read as unknown")
    terminal.wait(ready(terminal))
    terminal.line("still here")
    terminal.wait("still here")


def test_a_terminal_that_can_only_print_gets_plain_lines(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0", TERM="dumb", ready=False, real=True)
    terminal.wait("tiny.lstm; Ctrl-C stops the text\n>")
    terminal.line("ROMEO:")
    terminal.wait(lambda: len(terminal.everything) > 1000)
    terminal.send(CTRL_C)
    terminal.wait(lambda: terminal.rows[terminal.screen.cursor.y] == ">")
    terminal.line("/temp 0.5")
    terminal.wait("temperature 0.5")
    terminal.line("/nonsense")
    terminal.wait("there is no command /nonsense")
    terminal.wait(lambda: terminal.rows[terminal.screen.cursor.y] == ">")
    terminal.send(CTRL_C)
    terminal.wait("Ctrl-D or /quit leaves")
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    assert b"\x1b" not in terminal.raw


def test_twenty_columns_are_enough(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "300", columns=20, rows=10)
    terminal.wait(lambda: "T 0.80" in terminal.status)
    terminal.ask("A")
    terminal.ask("/compare B")
    terminal.line("/help")
    terminal.wait("command.")
    assert squeezed(transcript(terminal, place)[:200]) in squeezed(terminal.everything)
    assert all(len(row) <= 20 for row in terminal.everything.splitlines())


def test_no_colour_is_no_colour(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "200", NO_COLOR="1")
    terminal.line("/heat surprise")
    terminal.ask("A")
    codes = {code for found in re.findall(rb"\x1b\[([0-9;]*)m", terminal.raw) for code in found.split(b";")}
    assert codes <= {b"", b"0", b"1", b"3", b"4", b"7"}
    for line in terminal.screen.buffer.values():
        assert {(cell.fg, cell.bg) for cell in line.values()} <= {("default", "default")}


def test_resizing_loses_and_repeats_nothing(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "0", "--seed", "2", columns=80)
    terminal.line("A")
    given = ""
    for columns, rows in ((50, 24), (33, 30), (100, 20), (47, 24)):
        terminal.wait(lambda: len(terminal.everything) > 900)
        terminal.send(SPACE)
        terminal.wait(lambda: "paused" in terminal.status)
        text, tail = terminal.everything.rsplit("\n›", 1)[0].rsplit("\n", 1)
        given += text
        terminal.resize(columns, rows, forget=True)
        terminal.wait(lambda tail=tail: squeezed(tail) in squeezed(terminal.everything) and "paused" in terminal.status)
        terminal.send(SPACE)
        terminal.wait(streaming(terminal))
    terminal.wait(lambda: len(terminal.everything) > 900)
    terminal.send(ESC)
    terminal.wait(ready(terminal))
    given += terminal.everything.rsplit("\n›", 1)[0]
    assert squeezed(transcript(terminal, place)) == squeezed(given.split("leaves.", 1)[1])


def test_resizing_while_text_pours_out_is_survived(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(streaming(terminal))
    for number in range(40):
        terminal.resize(30 + 7 * number % 90, 8 + number % 30)
    terminal.resize(80, 24)
    terminal.send(ESC)
    terminal.wait(ready(terminal))
    terminal.send(CTRL_D)
    assert terminal.leave() == 0


def test_chinese_is_wide_and_breaks_where_the_row_is_full(open_repl: Open, place: Path) -> None:
    terminal = open_repl("chinese", "-n", "400", columns=31)
    terminal.ask("春江")
    text = transcript(terminal, place)
    assert text.startswith("春江")
    shown = "".join(character for character in terminal.everything if character in set(text))
    assert squeezed(text[:300]) in squeezed(shown)
    assert not any("?" in row or "\ufffd" in row for row in terminal.rows)


def test_a_closed_terminal_ends_the_program_and_keeps_the_text(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "0", "--seed", "3", real=True)
    terminal.line("/speed 60")
    terminal.line("ROMEO:")
    terminal.wait(lambda: len(shown(terminal)) > 200)
    seen = shown(terminal)
    terminal.hang_up()
    assert terminal.leave() in (129, 128 + signal.SIGHUP)
    again = open_repl("tiny", "--continue")
    kept = squeezed(transcript(again, place))
    assert kept.startswith("ROMEO:" + seen)
    again.wait("going on where it stood")


def test_a_killed_program_loses_a_second_at_most(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("/speed 30")
    terminal.line("ROMEO:")
    terminal.wait(lambda: len(shown(terminal)) > 60)
    terminal.wait(lambda: len(list((place / "home" / "sessions").glob("*.json"))) == 1)
    seen = shown(terminal)
    terminal.kill()
    again = open_repl("--continue")
    kept = squeezed(transcript(again, place).removeprefix("ROMEO:"))
    common = min(len(kept), len(seen))
    assert kept[:common] == seen[:common]
    assert len(seen) - len(kept) <= 60
    again.wait(lambda: "tiny.lstm" in again.status)
    again.line("")
    again.wait(lambda: "streaming" in again.status)


def test_a_hundred_interrupts_in_mid_stream_end_in_a_prompt(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(streaming(terminal))
    for _ in range(50):
        terminal.send(CTRL_C)
        terminal.signal(signal.SIGINT)
    terminal.wait(ready(terminal))
    terminal.line("/temp 0.5")  # taken after all of them, the signals too
    terminal.wait("temperature 0.5")
    terminal.line("B")
    terminal.wait(streaming(terminal))


FUSE = """
from celloquy import Cell, hookimpl

class {name}(Cell):
    input = "g"
    recurrent = {{"h": "g"}}
    state = {{"h": 0.0}}
    steps = 0

    def step(self, x, s, R, p):
        {name}.steps += 1
        if {name}.steps > 150:
            {fault}
        return {{"h": ((x + R.h(s.h)).g).tanh()}}

@hookimpl
def register_cells(register):
    register("{lower}", {name}, summary="Works for a while.")
"""


class Plain(Cell):
    """The same equations without the fault: what such a checkpoint was trained with."""

    input = "g"
    recurrent = {"h": "g"}
    state = {"h": 0.0}

    def step(self, x, s, R, p):  # type: ignore[no-untyped-def]
        return {"h": ((x + R.h(s.h)).g).tanh()}


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("Fuse", 'raise RuntimeError("blown\\nsecond line")', "RuntimeError: blown"),
        ("Rot", 'return {{"h": s.h * float("nan")}}', "NaN"),
        ("Exit", "raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_plugin_cell_that_fails_in_mid_stream_is_named_and_the_text_stays(
    open_repl: Open, place: Path, name: str, fault: str, said: str
) -> None:
    checkpoints = place / "checkpoints"
    save_cell(checkpoints, "tiny", Plain(), name.lower(), CharTokenizer(LETTERS), distribution="fuse.py")
    source = FUSE.format(name=name, lower=name.lower(), fault=fault.replace("{{", "{").replace("}}", "}"))
    (place / "fuse.py").write_text(source)
    terminal = open_repl("tiny", "--cell", name.lower(), "-n", "0", "--plugin", "fuse.py")
    terminal.line("A")
    terminal.wait(said)
    terminal.wait(ready(terminal))
    assert "the text is kept" in squeezed_spaces(terminal.everything)
    assert "second line" not in terminal.everything
    kept = transcript(terminal, place)
    assert len(kept) > 100
    terminal.line("/cell gru")
    terminal.wait("tiny.gru")
    terminal.line("")
    terminal.wait(streaming(terminal))
    terminal.send(ESC)
    terminal.wait(ready(terminal))
    (place / "kept.json").unlink()
    assert transcript(terminal, place).startswith(kept)


def squeezed_spaces(text: str) -> str:
    return " ".join(text.split())


def test_checkpoints_replaced_and_deleted_under_a_running_session(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("/speed 50")
    terminal.line("A")
    terminal.wait(streaming(terminal))
    lstm = place / "checkpoints" / "tiny.lstm.safetensors"
    lstm.unlink()
    lstm.write_bytes(b"not a checkpoint any more")
    for cell in ("gru", "rnn"):
        (place / "checkpoints" / f"tiny.{cell}.safetensors").unlink()
    terminal.send(RIGHT)
    terminal.send(UP)
    terminal.wait("T 0.85")
    terminal.wait(lambda: "tiny.lstm" in terminal.status)
    terminal.wait(streaming(terminal))
    terminal.line("/cell gru")
    terminal.wait(lambda: "tiny has no cell 'gru'" in terminal.everything)
    terminal.line("/load talk.gru")
    terminal.wait("talk.gru goes on")
    terminal.line(f"/load {lstm}")
    terminal.wait(lambda: re.search(r"lstm\.safetensors\W.*(too short|damaged|not a)", terminal.everything, re.S))
    there = len(terminal.everything)
    terminal.wait(lambda: len(terminal.everything) > there + 60)
    terminal.send(ESC)
    terminal.wait(ready(terminal))
    assert len(transcript(terminal, place)) > 60


def test_without_a_terminal_it_says_so_and_exits_2(place: Path, environment: dict[str, str]) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "celloquy", "repl", "tiny"],
        cwd=place,
        env=environment,
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "terminal" in done.stderr


def test_a_checkpoint_that_is_not_there_is_one_line_and_status_1(open_repl: Open) -> None:
    terminal = open_repl("nosuch", ready=False, real=True)
    assert terminal.leave() == 1
    assert "error: there is no checkpoint 'nosuch'" in squeezed_spaces(terminal.text)


def test_a_damaged_checkpoint_is_one_line_and_status_1(open_repl: Open, place: Path) -> None:
    path = place / "checkpoints" / "tiny.lstm.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-400])
    terminal = open_repl("tiny.lstm", ready=False)
    assert terminal.leave() == 1
    terminal.wait(lambda: "error: " in terminal.text)
    assert "Traceback" not in terminal.text


def test_sessions_are_kept_in_the_home(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLOQUY_HOME", str(place / "home"))
    assert folder() == place / "home" / "sessions"
    with pytest.raises(CelloquyError, match="no conversation to go on with"):
        latest()


def test_a_polite_end_from_outside_keeps_the_text(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("/speed 50")
    terminal.line("ROMEO:")
    terminal.wait(lambda: len(shown(terminal)) > 100)
    seen = shown(terminal)
    terminal.signal(signal.SIGTERM)
    assert terminal.leave() == 143
    assert "›" not in terminal.text
    again = open_repl("--continue")
    assert squeezed(transcript(again, place)).startswith("ROMEO:" + seen)
