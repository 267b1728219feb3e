"""Long pastes: the input line shows a token in their place, so that a hundred kilobytes do not slow every key."""

from __future__ import annotations

import re

LONG = 2_000
"""Characters from which a paste is shown as a token."""
_TOKEN = re.compile(r"\[pasted text (\d+): [\d,]+ characters\]")


class Pastes:
    """Remembers what was pasted until the line is given."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def take(self, text: str) -> str:
        """What to put into the line for a pasted text."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if len(text) < LONG:
            return text
        self._texts.append(text)
        return f"[pasted text {len(self._texts)}: {len(text):,} characters]"

    def expand(self, line: str) -> str:
        """The line with every token replaced by what it stands for. What was pasted is forgotten then."""
        texts, self._texts = self._texts, []

        def original(match: re.Match[str]) -> str:
            number = int(match[1])
            return texts[number - 1] if 0 < number <= len(texts) else match[0]

        return _TOKEN.sub(original, line) if texts else line
