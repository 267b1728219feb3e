"""Forgeries of what a checkpoint says of itself, and of its weights."""

from __future__ import annotations

import copy
from typing import Any

from reliability_kit.parts import Mutant, Original, Random, assemble


def _described(o: Original, c: Random, name: str, change: Any, wrong: bool = True) -> Mutant:
    description = copy.deepcopy(o.description)
    change(description)
    return Mutant(name, assemble(o.table, description, o.data), wrong=wrong, damage=False)


NASTY: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 1.5, 1 << 24, 1 << 40, 1 << 64, -(1 << 70), 1e308, "", "x", "12", [], {}, [1],
    {"a": 1}, "\x1b[2J\x1b]0;owned\x07", "../../etc/passwd", "a" * 1_000_000, "\ud800", "\u202etxt",
    "builtins:eval", "\x00",
)  # fmt: skip


def any_value(o: Original, c: Random) -> Mutant:
    """Any value of the description, at any depth, replaced by something nasty."""

    def change(description: dict[str, Any]) -> None:
        place: Any = description
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = c.choice(keys)
            inside = place[key]
            if isinstance(inside, dict | list) and inside and c.random() < 0.7:
                place = inside
                continue
            place[key] = c.choice(NASTY)
            return

    return _described(o, c, "a value replaced by something nasty", change, wrong=False)


def lost_value(o: Original, c: Random) -> Mutant:
    key = c.choice(sorted(o.description))
    return _described(o, c, "an entry of the header lost", lambda d: d.pop(key))


def vocabulary(o: Original, c: Random) -> Mutant:
    def change(description: dict[str, Any]) -> None:
        characters = description["tokenizer"]["characters"]
        wrong: list[Any] = [
            characters + chr(ord(characters[-1]) + 1), characters[:-1], characters + characters[-1], characters[::-1],
            "", characters[0] * len(characters), list(characters), None, 7, "a" * 2_000_000,
            "".join(map(chr, range(0xD000))),
        ]  # fmt: skip
        description["tokenizer"]["characters"] = c.choice(wrong)

    return _described(o, c, "a vocabulary too long, too short or with duplicates", change)


def tokenizer(o: Original, c: Random) -> Mutant:
    kind = c.choice(("byte", "bpe", "os.system", None, {"kind": "char"}, [], "char\x1b[31m", "word"))
    return _described(o, c, "another tokenizer", lambda d: d.update(tokenizer={"kind": kind}))


def sizes(o: Original, c: Random) -> Mutant:
    def change(description: dict[str, Any]) -> None:
        model = description["model"]
        key = c.choice(("vocabulary_size", "hidden_size", "num_layers", "embedding_size", "unknown_id"))
        wrong = [-1, 0, 1 << 24, (1 << 24) + 1, 1 << 63, 1e300, 2.0, "12", True, None, [], 257, 1000]
        model[key] = c.choice([value for value in wrong if value != model[key] or type(value) is not type(model[key])])
        if key == "embedding_size" and model[key] == 0:
            model["hidden_size"] = 13

    return _described(o, c, "wrong sizes", change)


CELLS = (
    "os:system",
    "builtins.eval",
    "evil_cell:Evil",
    "../../evil",
    "lstm\x00",
    "\x1b[2Jlstm",
    "__class__",
    "",
    "LSTM",
    "a" * 10_000,
)


def strange_cell(o: Original, c: Random) -> Mutant:
    def change(description: dict[str, Any]) -> None:
        cell = description["cell"]
        what = c.randrange(4)
        if what == 0:
            cell["name"] = c.choice(CELLS)
        elif what == 1:
            cell["options"] = c.choice(
                ({"activation": "os.system"}, {"__class__": 1}, {"x": "\x1b[2J" * 1000}, [], None)
            )
        elif what == 2:
            cell["version"] = c.choice((0, 2, -1, 1 << 80, "1", None, True, 1.0, 1.5))
        else:
            cell.update(name="evil", distribution=c.choice(("\x1b]0;owned\x07", "x" * 100_000, "pip\n install evil")))

    return _described(o, c, "a cell that is not there", change)


def other_cell(o: Original, c: Random) -> Mutant:
    name = c.choice([name for name in ("rnn", "lstm", "gru") if name != o.description["cell"]["name"]])
    return _described(o, c, "another cell's name", lambda d: d["cell"].update(name=name, options={}))


def names(o: Original, c: Random) -> Mutant:
    text = c.choice(
        ("../../../tmp/x", "/etc/passwd", "a/b", "a\\b", "\x1b[2J\x9b31m", "\n\r\b\x7f", "\u202e\u2066", "." * 300)
    )

    def change(description: dict[str, Any]) -> None:
        description["family"] = text
        description["corpus"]["files"] = [{"name": text, "bytes": 1}]
        description["created"] = text
        description["recipe"] = {text: text}

    return _described(o, c, "names with separators and control characters", change, wrong=False)


def template(o: Original, c: Random) -> Mutant:
    value = c.choice(
        ({}, {"end": ""}, {"end": "x", "more": 1}, {"person": 7}, {"end": "\x1b[2J"}, [], "x", {"{name}": "x"})
    )
    return _described(o, c, "a strange dialogue template", lambda d: d.update(template=value), wrong=False)


def not_finite(o: Original, c: Random) -> Mutant:
    """Weights that are not a number, or infinite, or subnormal (which is a number, and may stay)."""
    entry = o.table[c.choice(sorted(o.table))]
    size = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8}[entry["dtype"]]
    begin, end = entry["data_offsets"]
    at = begin + size * c.randrange((end - begin) // size)
    high = {4: (0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF), 2: (0x7F80, 0xFF80, 0x7FC0, 0xFFFF)}[size]
    value = c.choice(high).to_bytes(size, "little")
    data = o.data[:at] + value + o.data[at + size :]
    stamp = c.random() < 0.5
    raw = assemble(o.table, o.description, data) if stamp else o.raw[: o.header_end] + data
    return Mutant("NaN and infinity in the weights", raw, wrong=True, damage=not stamp)
