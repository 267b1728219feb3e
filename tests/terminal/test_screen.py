"""Every other key and view on a real pseudo-terminal: knob list, completion, history, chat, comparison, colours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from terminal_kit.harness import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_L,
    CTRL_R,
    DOWN,
    ENTER,
    ESC,
    F2,
    RIGHT,
    TAB,
    UP,
    Terminal,
)
from terminal_kit.talk import saved

Open = Callable[..., Terminal]


def ready(terminal: Terminal) -> Callable[[], bool]:
    return lambda: "ready" in terminal.status


def streaming(terminal: Terminal) -> Callable[[], bool]:
    return lambda: "streaming" in terminal.status


def test_the_first_start_shows_how_to_begin_and_the_next_one_less(open_repl: Open) -> None:
    first = open_repl("tiny")
    assert len(first.text.partition("\n\n")[0].splitlines()) == 3
    assert "Up/Down temperature" in first.text
    first.line("/info")
    first.wait("tiny.lstm.safetensors")
    first.send(CTRL_D)
    assert first.leave() == 0
    second = open_repl("tiny")
    assert "Up/Down temperature" not in second.text
    assert "/help" in second.text


def test_f2_opens_every_knob_and_arrows_turn_them_while_text_streams(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0", rows=30)
    terminal.line("/speed 50")
    terminal.line("A")
    terminal.wait(streaming(terminal))
    terminal.send(F2)
    terminal.wait("Up/Down choose, Left/Right turn")
    assert terminal.styles_of("temperature  ")[0].reverse
    terminal.send(RIGHT)
    terminal.wait("T 0.85")
    terminal.send(DOWN, DOWN, RIGHT)
    terminal.wait(lambda: "greedy" in terminal.status)
    terminal.wait(streaming(terminal))
    terminal.send(UP)
    terminal.wait(lambda: terminal.styles_of(" cell  ")[1].reverse)
    terminal.send(ESC)
    terminal.wait(lambda: "Up/Down choose" not in terminal.text)
    terminal.wait(streaming(terminal))
    terminal.send(ESC)
    terminal.wait(ready(terminal))


def test_commands_complete_as_they_are_typed(open_repl: Open) -> None:
    terminal = open_repl("tiny")
    terminal.send("/ce", TAB)
    terminal.wait("› /cell")
    terminal.send(" g", TAB)
    terminal.wait("› /cell gru")
    terminal.send(ENTER)
    terminal.wait(lambda: "tiny.gru" in terminal.status)
    terminal.send("/s")
    terminal.wait(lambda: all(f"/{name}" in terminal.text for name in ("seed", "set", "save", "speed")))
    terminal.send(CTRL_C)
    terminal.wait(lambda: "/seed" not in terminal.text)


def test_unknown_commands_and_values_are_said_in_a_line(open_repl: Open) -> None:
    terminal = open_repl("tiny")
    terminal.line("/tmep 1")
    terminal.wait("there is no command /tmep; did you mean /temp?")
    terminal.line("/temp -1")
    terminal.wait("temperature must be a number of at least 0, not -1")
    terminal.line("/load nosuch")
    terminal.wait("there is no checkpoint 'nosuch'")
    terminal.wait(lambda: "T 0.80" in terminal.status)


def test_history_is_recalled_searched_and_keeps_lines_together(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "3")
    terminal.send("first", ALT_ENTER, "second")
    terminal.wait(lambda: terminal.rows[terminal.screen.cursor.y].strip() == "second")
    terminal.send(ENTER)
    terminal.wait(lambda: "second" in terminal.text and terminal.at_rest)
    terminal.ask("another line")
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    kept = [json.loads(line) for line in (place / "home" / "history.jsonl").read_text().splitlines()]
    assert kept == ["first\nsecond", "another line"]

    again = open_repl("tiny", "-n", "3")
    again.send(UP)
    again.wait("› another line")
    again.send(UP)
    again.wait("› first\n  second")
    again.send(CTRL_C)
    again.wait(lambda: "second" not in again.text)
    again.send(CTRL_R, "other")
    again.wait("another line")
    again.send(ENTER)
    again.wait("› another line")


def test_no_history_leaves_nothing_behind(open_repl: Open, place: Path) -> None:
    before = saved(place)
    terminal = open_repl("tiny", "-n", "400", "--no-history")
    terminal.line("/speed 200")
    terminal.ask("ROMEO:")
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    assert saved(place) == before


def test_a_comparison_streams_side_by_side_and_stays_in_the_scrollback(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0", columns=90)
    terminal.line("/compare ROMEO:")
    terminal.wait(lambda: "comparing" in terminal.status)
    terminal.wait(lambda: terminal.text.count("tok/s ·") == 3)
    head = next(row for row in terminal.rows if row.startswith("rnn"))
    assert head.split() == ["rnn", "lstm", "gru"]
    terminal.send(UP)
    terminal.wait("T 0.85")
    terminal.send(ESC)
    terminal.wait(ready(terminal))
    terminal.wait(lambda: re.search(r"^rnn +lstm +gru$", terminal.everything, re.M) is not None)
    assert "/compare ROMEO:" in terminal.everything
    terminal.line("/help compare")
    terminal.wait("side by side")


def test_heat_colours_each_character_and_shows_what_the_colours_mean(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "300", "-t", "1.5")
    terminal.line("/heat surprise")
    terminal.wait("bits a character")
    terminal.ask("A")
    colours = {cell.bg for line in terminal.screen.buffer.values() for cell in line.values()}
    assert len(colours) > 4
    legend = terminal.styles_of(" 0  1  2 ")
    assert len({cell.bg for cell in legend}) == 3
    terminal.line("/heat off")
    terminal.wait(lambda: "bits a character" not in terminal.text)


def test_chat_shows_turns_and_off_shows_the_raw_text(open_repl: Open) -> None:
    terminal = open_repl("talk", "--chat", "-n", "400")
    terminal.wait(lambda: "chat" in terminal.status)
    terminal.wait("chat on: talk answers")
    terminal.ask("HELLO THERE")
    terminal.wait("you: HELLO THERE\ntalk:")
    terminal.line("/retry")
    terminal.wait(lambda: terminal.everything.count("\ntalk:") == 2)
    terminal.wait(ready(terminal))
    terminal.line("/chat off")
    terminal.wait("A: HELLO THERE\nB:")


def test_undo_marks_and_files_on_the_screen(open_repl: Open, place: Path) -> None:
    terminal = open_repl("tiny", "-n", "30", "--seed", "4")
    terminal.ask("ROMEO:")
    terminal.line("/mark start")
    terminal.wait("marked start at character 36; /back start returns here")
    terminal.line("/undo 10")
    terminal.wait("took back 10 characters")
    terminal.line("/back start")
    terminal.wait("back at start, character 36, tiny.lstm")
    terminal.line("/save play.json")
    terminal.wait("saved 36 characters, 1 mark to play.json")
    terminal.line("/reset")
    terminal.wait("a new text")
    terminal.line("/open play.json")
    terminal.wait("play.json: 36 characters, tiny.lstm goes on")
    data = json.loads((place / "play.json").read_text())
    assert data["transcript"].startswith("ROMEO:")


def test_ctrl_l_clears_the_screen_and_keeps_the_line(open_repl: Open) -> None:
    terminal = open_repl("tiny")
    terminal.send("half")
    terminal.wait("› half")
    terminal.send(CTRL_L)
    terminal.wait(lambda: terminal.rows[1] == "› half")
    assert "Type a line" not in terminal.text


def test_the_terminal_is_never_asked_where_its_cursor_is(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "100")
    terminal.ask("A")
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    assert b"\x1b[6n" not in terminal.raw
    assert b"?1049" not in terminal.raw
    assert "CPR" not in terminal.everything


def test_the_screen_is_left_as_a_shell_expects_it(open_repl: Open) -> None:
    terminal = open_repl("tiny", "-n", "0")
    terminal.line("A")
    terminal.wait(streaming(terminal))
    terminal.send(CTRL_D)
    assert terminal.leave() == 0
    assert terminal.screen.cursor.x == 0
    assert not terminal.screen.cursor.hidden
    assert terminal.rows[terminal.screen.cursor.y] == ""
    assert terminal.raw.rstrip().endswith((b"\x1b[?7h", b"\x1b[0m", b"\x1b[?25h", b"\x1b[?2004l"))
    assert "›" not in terminal.text
