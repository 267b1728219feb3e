"""The fence around a stranger's code."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from cells.errors import CelloquyError
from plugins.guard import Blame, Divert, Guard, QuietStep, one_line


def test_other_threads_print_on_while_one_is_diverted(capsys: pytest.CaptureFixture[str]) -> None:
    with Divert() as divert:
        print("hidden")
        thread = threading.Thread(target=print, args=("seen",))
        thread.start()
        thread.join()
    print("after")
    assert capsys.readouterr().out == "seen\nafter\n"
    assert divert.printed


def test_two_threads_that_leave_in_the_wrong_order_lose_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    original = sys.stdout
    entered, leave = threading.Event(), threading.Event()

    def inside() -> None:
        with Divert():
            entered.set()
            leave.wait()

    first = Divert()
    first.__enter__()
    thread = threading.Thread(target=inside)
    thread.start()
    entered.wait()
    first.__exit__()
    leave.set()
    thread.join()
    print("seen")
    sys.stdout = original
    assert capsys.readouterr().out == "seen\n"


def test_guard_reports_everything_but_the_persons_interrupt() -> None:
    seen: list[BaseException] = []
    with Guard(seen.append):
        raise SystemExit(1)
    assert isinstance(seen[0], SystemExit)
    with pytest.raises(KeyboardInterrupt), Guard(seen.append):
        raise KeyboardInterrupt


def test_blame_names_whose_fault_it_was_once() -> None:
    with pytest.raises(CelloquyError, match=r"^cell x: ValueError: two$"), Blame("cell x"):
        raise ValueError("two\nlines")
    with pytest.raises(CelloquyError, match=r"^cell x: two$"), Blame("cell x"), Blame("cell x"):
        raise CelloquyError("two")


def test_error_without_a_message_is_its_type() -> None:
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("\n \n x \n")) == "ValueError: x"


def test_quiet_step_changes_nothing_but_what_leaves_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    complaints: list[str] = []

    def step(x: Any, s: Any, R: Any, p: Any) -> Any:
        print("noise")
        if x == "leave":
            raise SystemExit(0)
        if x == "fail":
            raise ValueError("mine")
        if x == "interrupt":
            raise KeyboardInterrupt
        return (x, s, R, p)

    quiet = QuietStep(step, "cell x (d 1)", complaints.append)
    assert quiet(1, 2, 3, 4) == (1, 2, 3, 4)
    assert quiet(1, 2, 3, 4) == (1, 2, 3, 4)
    with pytest.raises(CelloquyError, match=r"^cell x \(d 1\): step raised SystemExit: 0$"):
        quiet("leave", 2, 3, 4)
    with pytest.raises(ValueError, match="mine"):
        quiet("fail", 2, 3, 4)
    with pytest.raises(KeyboardInterrupt):
        quiet("interrupt", 2, 3, 4)
    assert complaints == ["cell x (d 1) prints to standard output in its step; the text is left out"]
    assert capsys.readouterr().out == ""
