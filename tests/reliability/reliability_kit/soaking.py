"""The real REPL on a pseudo-terminal under random keys, commands, signals and sizes, for as long as one likes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from terminal_kit import harness
from terminal_kit.harness import Terminal
from terminal_kit.processes import RealProcess

from reliability_kit.children import ROOT
from reliability_kit.growth import resident

KEYS = (
    *(harness.UP, harness.DOWN, harness.RIGHT, harness.LEFT, harness.CTRL_UP, harness.CTRL_DOWN, harness.SPACE),
    *(harness.ESC, harness.ENTER, harness.TAB, harness.CTRL_C, harness.CTRL_L, harness.F2, harness.ALT_ENTER),
    *("\x1b[5~", "\x1b[H", "\x1b[999~", "\x7f", "\x01", "\x0b", "\x17", "\x1b[0;0R", "\x00", harness.CTRL_R),
    *("a", "the king ", "Ж", "没有", "\udcff"),
)
LINES = (
    *("the king is gone", "", "//", "/", "/nonsense", "/help", "/help cell", "/cell gru", "/cell lstm", "/cell"),
    *("/info", "/temp 0.5", "/temp -1", "/temp 1e9", "/top-k 3", "/top-p 0.5", "/min-p 0.1", "/penalty 1.3", "/seed 3"),
    *("/set", "/length 0", "/length 300", "/retry", "/undo", "/undo 50", "/mark a", "/back a", "/back b"),
    *("/heat surprise", "/heat entropy", "/heat off", "/chat on", "/chat off", "/compare the king", "/speed 50"),
    *("/save kept.json", "/open kept.json", "/load tiny", "/load nothing", "/reset", "/cell lstm+gru", "/speed 0"),
    *("/temp 0.8", "/top-k 0", "/top-p 1", "/min-p 0", "/penalty 1"),
)
NEUTRAL = (
    *("/chat off", "/load tiny", "/cell lstm", "/reset", "/heat off", "/speed 0", "/temp 0.8", "/top-k 0"),
    *("/top-p 1", "/min-p 0", "/penalty 1"),
)
EMPTY = "empty.json"
HOSTILE = "\x1b[2J\x07 pasted \x9b31m\r\n/quit\n\u202e"
LISTED = "Up/Down choose"
LETTERS = "abdeghiklnost"
HARMLESS = (harness.UP, harness.DOWN, harness.CTRL_UP, harness.CTRL_DOWN, harness.SPACE * 2, harness.F2, "a\x7f")
"""What neither adds to the text nor takes from it."""


class Soak:
    """A REPL that is tormented from seeds. It shall live, stay small, and lose nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chance = random.Random(0)
        self.sent = 0
        self._saved = 0
        self._home = folder / "home"
        environment = {
            **{"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "CELLOQUY_HOME": str(self._home)},
            **{"CELLOQUY_LOAD_PLUGINS": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            **{"LANG": "C.UTF-8", "TERM": "xterm-256color", "PYTHONDONTWRITEBYTECODE": "1"},
        }
        arguments = ["repl", "tiny.lstm", "-n", "0", "--seed", "1"]
        self.terminal = Terminal(RealProcess(arguments, environment, folder, 80, 24), 80, 24)

    def begin(self, seed: int) -> None:
        """Go on with the attacks of a seed."""
        self.chance = random.Random(seed)

    @property
    def memory(self) -> float:
        """Resident megabytes of the REPL."""
        return resident(self.terminal.pid)

    def torment(self, seconds: float) -> None:
        """Keys, lines, pastes, sizes and signals at random."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sent += 1
            kind, terminal = self.chance.randrange(12), self.terminal
            if kind < 6:
                terminal.send(*self.chance.choices(KEYS, k=self.chance.randrange(1, 6)))
            elif kind < 9:
                terminal.send("\x15", self.chance.choice(LINES), harness.ENTER)
            elif kind == 9:
                terminal.send(harness.paste(HOSTILE))
            elif kind == 10:
                terminal.resize(self.chance.randrange(10, 160), self.chance.randrange(4, 50))
            else:
                terminal.signal(self.chance.choice((signal.SIGWINCH, signal.SIGINT, signal.SIGCONT)))
            self._look(0.02)
            self._check_said()

    def _look(self, seconds: float) -> None:
        """Read what it writes for so long; it may go on and on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.terminal._read(0.005)

    def _check_said(self) -> None:
        """No fault of the program was told; and what the emulator remembers stays small."""
        raw = self.terminal.raw
        assert b"Traceback" not in raw, self.terminal.everything
        assert b"internal error" not in raw, self.terminal.everything
        if len(raw) > 2_000_000:
            self.terminal.raw = raw[-100:]
            self.terminal.screen.history.top.clear()

    def calm(self) -> None:
        """Stop whatever goes on, in a terminal of 80 columns."""
        self.terminal.resize(90, 30)
        self._look(0.1)
        self.terminal.resize(80, 24, forget=True)
        self.rest()
        self._check_said()

    def rest(self) -> None:
        """Nothing written, typed, listed or searched any more; every key has been taken."""
        for _ in range(100):
            self.terminal.send(harness.ESC)
            self._look(0.15)  # an Esc that is followed at once is the beginning of another key
            self.terminal.send(harness.CTRL_C, "x")
            if self._comes(lambda: self._row == "› x"):
                self.terminal.send("\x7f")
                if self._comes(lambda: self._row == "›" and LISTED not in self.terminal.text and self._is_ready()):
                    return
        raise AssertionError(f"it did not come to rest:\n{self.terminal.text}")

    @property
    def _row(self) -> str:
        """The row in which the cursor stands."""
        return self.terminal.rows[self.terminal.screen.cursor.y]

    def _is_ready(self) -> bool:
        return "ready" in self.terminal.status

    def _comes(self, what: Callable[[], bool]) -> bool:
        """Whether it comes true soon; if not, something else has to be done first."""
        end = time.monotonic() + 2.0
        while not what() and time.monotonic() < end:
            self.terminal._read(0.02)
        return what()

    def transcript(self) -> str:
        """What the session holds as its text, once everything that was given to it is done."""
        self._saved += 1  # a file of its own: an older one would tell of an older text
        file = self.folder / f"transcript{self._saved}.json"
        self.terminal.line(f"/save {file.name}")
        self.terminal.wait(file.exists)
        self.terminal.wait(lambda: self._row == "›" and self._is_ready())
        text = str(json.loads(file.read_text(encoding="utf-8"))["transcript"])
        file.unlink()
        return text

    def check_it_is_kept(self) -> None:
        """What a closed terminal or a crash would leave is the text that stands there."""
        text = self.transcript()
        if text:
            self.terminal.wait(lambda: self._kept() == text)

    def _kept(self) -> str | None:
        found = sorted((self._home / "sessions").glob("*.json"))
        return str(json.loads(found[-1].read_text(encoding="utf-8"))["transcript"]) if found else None

    def make_neutral(self) -> None:
        """An empty text without marks, and every knob where it neither matters nor slows."""
        for line in (f"/open {EMPTY}", *NEUTRAL):
            self.terminal.line(line)
        assert self.transcript() == ""

    def check_nothing_is_lost(self, tokens: int = 600) -> None:
        """A fresh text, written while knobs turn, lists open and close and it pauses: all of it is on the terminal."""
        self.make_neutral()
        self.terminal.line(f"/length {tokens}")
        self.transcript()
        terminal = self.terminal
        terminal.screen.history.top.clear()
        prompt = "".join(self.chance.choices(LETTERS, k=12)) + " "  # by which this text is known from older ones
        terminal.line(prompt)
        while not (self._is_ready() and self._is_kept(prompt, tokens)):
            for _ in range(10):
                terminal.send(self.chance.choice(HARMLESS))
                self._look(0.02)
        self.rest()
        shown = squeezed(terminal.everything)
        text = self.transcript()
        assert len(text) >= tokens + len(prompt), f"only {len(text)} characters, {text!r}:\n{terminal.everything}"
        assert squeezed(text) in shown, f"lost text:\n{text}\n---\n{terminal.everything}"

    def _is_kept(self, prompt: str, tokens: int) -> bool:
        """Whether all of the text that begins with this prompt has been written; the file is behind by a second."""
        text = self._kept() or ""
        return text.startswith(prompt) and len(text) >= len(prompt) + tokens

    def leave(self) -> None:
        """It ends as it should."""
        self.terminal.send(harness.CTRL_D)
        assert self.terminal.leave() == 0
        self._check_said()


def squeezed(text: str) -> str:
    """A text without its white space: what does not depend on where rows end."""
    return "".join(text.split())


@contextlib.contextmanager
def soaked(folder: Path) -> Iterator[Soak]:
    """A REPL that is ready; whatever happens, it is ended."""
    soak = Soak(folder)
    try:
        soak.terminal.wait(lambda: "ready" in soak.terminal.status, deadline=600)  # on the busiest machine
        soak.terminal.line(f"/save {EMPTY}")
        soak.terminal.wait((folder / EMPTY).exists)
        yield soak
    finally:
        soak.terminal.close()
