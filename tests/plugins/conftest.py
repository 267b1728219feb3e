"""Fixtures: plugin files, and distributions that importlib.metadata finds without a package manager."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import sysconfig
import textwrap
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyte
import pytest
from ptyprocess import PtyProcess

ROOT = Path(__file__).resolve().parents[2]

WriteFile = Callable[[str, str], Path]
Install = Callable[..., None]

GOOD = """
    from torch import tanh
    from cells.cell import Cell
    from plugins.hookspecs import hookimpl

    class Swirl(Cell):
        '''A swirl.'''
        input = "h"
        recurrent = {"h": "h"}

        def step(self, x, s, R, p):
            return {"h": tanh(x.h + R.h(s.h).h)}

    @hookimpl
    def register_cells(register):
        register("swirl", Swirl)
"""


@pytest.fixture(autouse=True)
def _no_installed_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install("dist-name", "1.0", module_text, entry="name")``: visible to this process only."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def put(distribution: str, version: str, text: str, entry: str | None = None) -> None:
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[celloquy]\n{entry or module} = {module}\n")

    yield put
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(site) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def good_plugin() -> str:
    """The text of a plugin that brings the cell ``swirl``."""
    return textwrap.dedent(GOOD)


@pytest.fixture(scope="session")
def make_environment() -> Callable[[Path], Path]:
    """Make a fresh virtual environment that borrows this one's packages; returns its interpreter."""

    def make(home: Path) -> Path:
        venv.create(home, with_pip=False, symlinks=os.name != "nt")
        interpreter = home / ("Scripts" if os.name == "nt" else "bin") / "python"
        asked = [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lines = [str(ROOT), *(f"import site; site.addsitedir({path!r})" for path in sorted(lent))]
        Path(site, "lent.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return interpreter

    return make


class LiveTerminal:
    """A program on a pseudo-terminal, its screen read through a terminal emulator."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._screen = pyte.HistoryScreen(100, 24, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self._process = PtyProcess.spawn(list(command), env=dict(env), cwd=str(cwd), dimensions=(24, 100))

    @property
    def text(self) -> str:
        """What has left the screen at its top, and the screen."""
        above = ["".join(row[x].data for x in range(100)).rstrip() for row in self._screen.history.top]
        return "\n".join([*above, *(row.rstrip() for row in self._screen.display)]).rstrip("\n")

    @property
    def status(self) -> str:
        """The status line: the last row that shows anything."""
        return self.text.rpartition("\n")[2]

    def send(self, keys: str) -> None:
        """Press keys."""
        self._process.write(keys.encode())

    def wait(self, shown: Callable[[], bool], seconds: float = 60) -> None:
        """Read until something is shown; fails with the screen if it does not come."""
        end = time.monotonic() + seconds
        while not shown():
            assert time.monotonic() < end, self.text
            self._read()

    def leave(self) -> int:
        """Ctrl-D; the exit status."""
        self.send("\x04")
        while self._read():
            pass
        return int(self._process.wait())

    def close(self) -> None:
        """End the program if it has not ended."""
        self._process.close(force=True)

    def _read(self) -> bool:
        if select.select([self._process.fd], [], [], 0.1)[0]:
            try:
                self._stream.feed(self._process.read(65536))
            except EOFError:
                return False
        return True


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., LiveTerminal]]:
    """``open_terminal(command, environment, folder)``, ended with the test."""
    opened: list[LiveTerminal] = []

    def start(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> LiveTerminal:
        opened.append(LiveTerminal(command, {**env, "TERM": "xterm-256color"}, cwd))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()
