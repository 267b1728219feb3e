"""Where the prompts of ``celloquy generate`` come from: the command line, a file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cells.errors import UsageError
from repl.streams import argument_text, file_lines, input_lines, is_terminal, read_input, read_text_file


@dataclass(frozen=True)
class PromptSource:
    """What the flags say. ``lines`` makes each line a prompt of its own."""

    text: str | None = None
    file: Path | None = None
    lines: bool = False

    def __post_init__(self) -> None:
        if self.text is not None and self.file is not None:
            raise UsageError("give the prompt by --prompt or by --prompt-file, not both")

    def prompts(self) -> Iterable[str]:
        """The prompts; the lines of a file or of standard input as they come, so that many take no memory."""
        if self.lines and self.file is not None:
            return file_lines(self.file)
        if self.text is None and self.lines and not is_terminal(sys.stdin):
            return input_lines()
        whole = self._whole()
        return _lines(whole) if self.lines else [whole]

    def _whole(self) -> str:
        if self.text is not None:
            return argument_text(self.text)
        if self.file is not None:
            return read_text_file(self.file)
        return "" if is_terminal(sys.stdin) else read_input()


def _lines(text: str) -> Iterator[str]:
    """The lines of a text without their ends, which may be those of any system."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return (line.removesuffix("\r") for line in lines)
