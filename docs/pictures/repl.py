"""Makes repl.svg, the picture of the REPL in the README, from a real session: ``python docs/pictures/repl.py``.

The program runs on a pseudo-terminal, keys are typed, and what an emulator shows at the end is drawn. The seed is set,
so the session is the same each time, but for the speed. A test makes it again and compares.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_name("repl.svg")
TITLE = "A session with celloquy: an LSTM begins, a GRU goes on in the middle of a sentence, coloured by surprise"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "terminal")]

from terminal_kit.harness import ENTER, Terminal  # noqa: E402 - found by the line above
from terminal_kit.picture import screen_svg  # noqa: E402
from terminal_kit.processes import RealProcess  # noqa: E402

COLUMNS, ROWS = 84, 26
START = ("repl", "shakespeare.lstm", "--seed", "20", "-n", "150", "--no-history")
LINES = ("ROMEO:", "/cell gru", "/heat surprise", "/temp 0.6", "")


def session(home: Path) -> str:
    """Play the session with an empty home; the screen at its end as an SVG."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    settings = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "CELLOQUY_HOME": str(home),
        "CELLOQUY_LOAD_PLUGINS": "",
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }
    terminal = Terminal(RealProcess(START, {**kept, **settings}, home, COLUMNS, ROWS), COLUMNS, ROWS)
    try:
        terminal.wait(lambda: terminal.at_rest)
        for line in LINES:
            before = terminal.everything
            terminal.send(line, ENTER)
            terminal.wait(lambda before=before: terminal.everything != before and terminal.at_rest)
        return screen_svg(terminal.screen, TITLE)
    finally:
        terminal.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(session(Path(folder)), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")
