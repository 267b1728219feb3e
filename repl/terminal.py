"""The terminal under the screen: one write a frame, no questions asked of it, and no crash when it goes away."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output


class HeldOutput(Vt100_Output):
    """Between :meth:`hold` and :meth:`release` nothing is sent, so that a frame goes out in one piece, not flickering.

    The cursor is hidden from a frame's first byte to its last: who sees it sees a whole frame. A terminal that was
    closed swallows everything.
    """

    gone = False
    _holding = False

    def hold(self) -> None:
        """Keep back what is written from now on."""
        self.hide_cursor()
        self._holding = True

    def release(self) -> None:
        """Send what was kept back."""
        self._holding = False
        self.show_cursor()
        self.flush()

    def show_cursor(self) -> None:
        """Show it, but not in the middle of a frame."""
        if not self._holding:
            super().show_cursor()

    def erase_down(self) -> None:
        """Erase from the beginning of this row down, in two parts: tmux takes the erasing of a whole screen for a wish
        to keep it in the scrollback, where the live rows of a fresh window would then stand once a frame."""
        self.write_raw("\x1b7\x1b[K\x1b[B\x1b[J\x1b8")

    def flush(self) -> None:
        """Send what there is, unless it is held back or nobody is there any more."""
        if self.gone:
            self._buffer = []
        if self._holding:
            return
        try:
            super().flush()
        except (OSError, ValueError):
            self.gone = True


def open_output(environment: Mapping[str, str] = os.environ) -> HeldOutput:
    """The terminal on standard output. It is never asked for its cursor, since not every terminal answers."""
    output = HeldOutput.from_pty(sys.stdout, term=environment.get("TERM"), enable_bell=False)
    assert isinstance(output, HeldOutput)
    output.enable_cpr = False
    output.default_color_depth = _color_depth(environment)
    return output


def _color_depth(environment: Mapping[str, str]) -> ColorDepth | None:
    if environment.get("NO_COLOR"):
        return ColorDepth.DEPTH_1_BIT
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return ColorDepth.DEPTH_24_BIT
    return None


def is_dumb(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal cannot move its cursor."""
    return environment.get("TERM", "").lower() in ("dumb", "unknown", "")


def speaks_unicode() -> bool:
    """Whether bars and ellipses can be written to standard output."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


_REFLOW = ("TMUX", "VTE_VERSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WT_SESSION", "ALACRITTY_WINDOW_ID")
_REFLOW_PROGRAMS = ("iterm.app", "wezterm", "ghostty", "vscode", "tmux", "apple_terminal")


def reflows(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal breaks its rows anew when it gets narrower. None can be asked, so its name must do."""
    if environment.get("CELLOQUY_REFLOW"):
        return environment["CELLOQUY_REFLOW"] != "0"
    named = environment.get("TERM_PROGRAM", "").lower() in _REFLOW_PROGRAMS
    return named or any(environment.get(name) for name in _REFLOW)
