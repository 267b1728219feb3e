"""Regular expressions as automata over the bytes of UTF-8, so that tokens of any kind can be held to a pattern.

The library ``interegular`` makes the automaton over characters. Here its arrows are spelled out in bytes: a character
that the pattern names has its own bytes, and all others share states that only count the bytes still to come.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cells.errors import UsageError
from repl.bounded_crawl import bounded_crawling

if TYPE_CHECKING:
    from interegular.fsm import FSM

DEAD = 0
MOST_STATES = 20_000
MOST_REPEATS = 10_000
LONGEST_PATTERN = 2000

_AROUND = re.compile(r"(?<!\\)\(\?<?[=!]")
_ANY_CASE = re.compile(r"\(\?[a-z]*i")
_ESCAPED = re.compile(r"\\[xuUN]")
_COUNT = re.compile(r"(?<!\\)\{(\d*),?(\d*)\}")
_REST = {**dict.fromkeys(range(0xC2, 0xE0), 1), **dict.fromkeys(range(0xE0, 0xF0), 2)} | dict.fromkeys(
    range(0xF0, 0xF5), 3
)
"""Bytes that follow the first byte of a character."""

_SECOND = {0xE0: (0xA0, 0xC0), 0xED: (0x80, 0xA0), 0xF0: (0x90, 0xC0), 0xF4: (0x80, 0x90)}
"""First bytes after which not every second byte is UTF-8, and the range of those that are."""


@dataclass(frozen=True)
class ByteAutomaton:
    """States are rows of ``table`` [S, 256], which gives the next one for a byte; 0 is dead, 1 the beginning.

    ``accepts`` [S] are the states in which the text so far matches the whole pattern.
    """

    table: NDArray[np.int32]
    accepts: NDArray[np.bool_]


@functools.lru_cache(maxsize=2)
def byte_automaton(pattern: str) -> ByteAutomaton:
    """The automaton of the texts that the whole pattern matches, as ``re.fullmatch`` with ``re.ASCII`` would.

    UsageError for a pattern that is none, or that asks for what no automaton has: a look to either side, or a
    reference to a group.
    """
    return _Builder(_character_automaton(pattern)).build()


def _character_automaton(pattern: str) -> FSM:
    """What ``interegular`` makes of a pattern."""
    told = f"the pattern {pattern[:60]!r}"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{told} is not a regular expression: {error}") from None
    if _ANY_CASE.search(pattern) and not (pattern.isascii() and _ESCAPED.search(pattern) is None):
        raise UsageError(f"{told} ignores case, which works for ASCII letters only: write both cases out")
    if _AROUND.search(pattern):
        raise UsageError(f"{told} looks ahead or behind, which text that is being written cannot")
    counts = [int(number) for found in _COUNT.findall(pattern) for number in found if number]
    if len(pattern) > LONGEST_PATTERN or any(count > MOST_REPEATS for count in counts):
        raise UsageError(f"{told} is too large: at most {LONGEST_PATTERN} characters and {MOST_REPEATS} repeats")
    import interegular
    from interegular.patterns import InvalidSyntax, Unsupported

    whole = pattern.removeprefix("^")
    if whole.endswith("$") and not whole.endswith("\\$"):
        whole = whole[:-1]  # the whole text is matched anyway
    try:
        with bounded_crawling(told, MOST_STATES):
            fsm: FSM = interegular.parse_pattern(whole).to_fsm()
        return fsm
    except Unsupported as error:
        raise UsageError(f"{told} has what no automaton can: {error}") from None
    except (InvalidSyntax, RecursionError, NotImplementedError) as error:
        raise UsageError(f"{told} is not understood{f': {error}' if str(error) else ''}") from None


class _Builder:
    """Spells an automaton over characters out in bytes. A node is ("state", s), ("within", s, bytes so far) of a
    character that may be a named one, ("rest", s, bytes to come), or ("first", s, byte) where the second is special."""

    def __init__(self, fsm: FSM) -> None:
        self._fsm = fsm
        self._map: dict[Any, dict[Any, Any]] = {state: dict(arrows) for state, arrows in fsm.map.items()}
        alphabet: dict[Any, int] = dict(fsm.alphabet.items())
        self._named = {symbol: key for symbol, key in alphabet.items() if isinstance(symbol, str)}
        # of the pattern that matches the empty text alone there are none
        self._others = next((key for symbol, key in alphabet.items() if not isinstance(symbol, str)), None)
        encoded = [symbol.encode("utf-8") for symbol in self._named if not "\ud800" <= symbol <= "\udfff"]
        self._beginnings = {text[:end] for text in encoded for end in range(1, len(text))}
        self._live = _live(fsm)
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._waiting: deque[tuple[Any, ...]] = deque()

    def build(self) -> ByteAutomaton:
        rows = [np.zeros(256, dtype=np.int32)]
        accepts = [False]
        if self._fsm.initial not in self._live:
            raise UsageError("no text at all matches the pattern")
        self._number(("state", self._fsm.initial))
        while self._waiting:
            if len(rows) > MOST_STATES:
                raise UsageError(f"the pattern is too large: it has more than {MOST_STATES} states")
            node = self._waiting.popleft()
            row = np.zeros(256, dtype=np.int32)
            for byte, after in self._arrows(node):
                row[byte] = self._number(after)
            rows.append(row)
            accepts.append(node[0] == "state" and node[1] in self._fsm.finals)
        return ByteAutomaton(np.stack(rows), np.array(accepts))

    def _number(self, node: tuple[Any, ...]) -> int:
        if node not in self._numbers:
            self._numbers[node] = len(self._numbers) + 1
            self._waiting.append(node)
        return self._numbers[node]

    def _after(self, state: Any, character: str | None) -> Any:
        """The state after a character (None: one that is not named), or None if it leads nowhere."""
        key = self._others if character is None else self._named.get(character, self._others)
        after = self._map.get(state, {}).get(key)
        return after if after in self._live else None

    def _arrows(self, node: tuple[Any, ...]) -> list[tuple[int, tuple[Any, ...]]]:
        kind, state, detail = (*node, None)[:3]
        if kind == "rest":
            return [(byte, _rest(state, detail - 1)) for byte in range(0x80, 0xC0)]
        if kind == "first":
            return [(byte, _rest(state, _REST[detail] - 1)) for byte in range(*_SECOND[detail])]
        if kind == "within":
            low, high = _SECOND.get(detail[0], (0x80, 0xC0)) if len(detail) == 1 else (0x80, 0xC0)
            return self._going_on(state, detail, range(low, high))
        plain = [(byte, self._after(state, chr(byte))) for byte in range(0x80)]
        arrows: list[tuple[int, tuple[Any, ...]]] = [
            (byte, ("state", after)) for byte, after in plain if after is not None
        ]
        return arrows + self._going_on(state, b"", _REST)

    def _going_on(self, state: Any, begun: bytes, bytes_now: Any) -> list[tuple[int, tuple[Any, ...]]]:
        """The arrows of bytes within a character of several, ``begun`` being those before."""
        arrows: list[tuple[int, tuple[Any, ...]]] = []
        others = self._after(state, None)
        for byte in bytes_now:
            text = begun + bytes((byte,))
            to_come = _REST[text[0]] + 1 - len(text)
            if text in self._beginnings:
                arrows.append((byte, ("within", state, text)))
            elif to_come == 0 and text.decode("utf-8") in self._named:
                after = self._after(state, text.decode("utf-8"))
                if after is not None:
                    arrows.append((byte, ("state", after)))
            elif others is not None:
                special = len(text) == 1 and byte in _SECOND
                arrows.append((byte, ("first", others, byte) if special else _rest(others, to_come)))
        return arrows


def _rest(state: Any, to_come: int) -> tuple[Any, ...]:
    return ("rest", state, to_come) if to_come else ("state", state)


def _live(fsm: FSM) -> set[Any]:
    """The states from which a match can be reached."""
    before: dict[Any, list[Any]] = {}
    for state, arrows in fsm.map.items():
        for after in arrows.values():
            before.setdefault(after, []).append(state)
    live, waiting = set(fsm.finals), list(fsm.finals)
    while waiting:
        new = [state for state in before.get(waiting.pop(), []) if state not in live]
        live.update(new)
        waiting += new
    return live
