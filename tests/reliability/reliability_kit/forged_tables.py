"""Forgeries of the table of tensors and of the JSON as such; the check sums are made anew, as a stranger can."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from checkpoints.digest import METADATA_KEY
from reliability_kit.parts import Mutant, Original, Random, assemble, join


def _table(change: Callable[[dict[str, Any], Random], None], name: str, o: Original, c: Random) -> Mutant:
    table = copy.deepcopy(o.table)
    change(table, c)
    stamp = c.random() < 0.7
    return Mutant(name, assemble(table, o.description, o.data, stamp=stamp), wrong=True, damage=not stamp)


def overlap(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        one, two = c.sample(sorted(table), 2)
        table[one]["data_offsets"] = table[two]["data_offsets"]

    return _table(change, "overlapping tensors", o, c)


def out_of_range(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        entry = table[c.choice(sorted(table))]
        begin, end = entry["data_offsets"]
        by = c.choice((1, 8, len(o.data), 1 << 40, 1 << 62, 1 << 70, -1, -8, -end))
        entry["data_offsets"] = c.choice(([begin + by, end + by], [begin, end + by], [end, begin], [begin + by, end]))

    return _table(change, "tensors out of range", o, c)


def wrong_dtype(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        entry = table[c.choice(sorted(table))]
        kinds = ["F64", "F16", "I32", "BOOL", "I64", "F8_E4M3", "", "f32", "os.system", None, 4, [], {}, "F32\n" * 1000]
        entry["dtype"] = c.choice([kind for kind in kinds if kind != entry["dtype"]])

    return _table(change, "a wrong dtype", o, c)


def all_integers(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        for entry in table.values():
            entry["dtype"] = c.choice(("I32",) if entry["dtype"] == "F32" else ("I16",))

    return _table(change, "whole numbers for weights", o, c)


def wrong_shape(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        entry = table[c.choice(sorted(table))]
        shape = entry["shape"]
        wrong: list[Any] = [
            [*shape, 2], [*shape, 1], shape[:-1], [], [0], [-1, -1], [*shape, 0], [1 << 40, 1 << 40], [1.0], ["1"],
            [True], None, 7, [[1]], {}, [1] * 100_000, [1 << 47] * 30_000, [size + 1 for size in shape], "12",
        ]  # fmt: skip
        entry["shape"] = c.choice(wrong)

    return _table(change, "a wrong shape", o, c)


def transposed(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        square = {name for name, entry in table.items() if len(set(entry["shape"])) < 2}
        entry = table[c.choice(sorted(table.keys() - square))]
        entry["shape"] = entry["shape"][::-1]

    return _table(change, "a transposed tensor", o, c)


def lost_or_strange(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        name = c.choice(sorted(table))
        entry = table.pop(name)
        to = c.choice((None, name + ".", "../../" + name, "\x1b[2J" + name, "__class__", "", "readout.weight\x00"))
        if to is not None:
            table[to] = entry

    return _table(change, "a tensor lost or renamed", o, c)


def strange_entry(o: Original, c: Random) -> Mutant:
    def change(table: dict[str, Any], c: Random) -> None:
        name = c.choice(sorted(table))
        table[name] = c.choice(
            (None, [], "x", 1, {}, {"dtype": "F32"}, {**table[name], "more": 1}, {**table[name], "data_offsets": [0]},
             {**table[name], "data_offsets": None}, {**table[name], "data_offsets": ["0", "4"]})
        )  # fmt: skip

    return _table(change, "an entry that is none", o, c)


def many_tensors(o: Original, c: Random) -> Mutant:
    table = dict(o.table)
    end = len(o.data)
    for number in range(c.choice((300, 300, 20_000))):
        table[f"blocks.{number}.recurrent.b"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}
    description = {**o.description, "model": {**o.description["model"], "num_layers": c.choice((300, 20_000))}}
    return Mutant("thousands of empty tensors", assemble(table, description, o.data), wrong=True, damage=False)


def duplicate_key(o: Original, c: Random) -> Mutant:
    text = o.raw[8 : o.header_end].decode("utf-8").strip()
    inner = json.dumps(o.description)
    key = c.choice(sorted(o.description))
    twice = inner[:-1] + f", {json.dumps(key)}: {json.dumps(o.description[key])}}}"
    name = c.choice(sorted(o.table))
    outer = text[:-1] + f", {json.dumps(name)}: {json.dumps(o.table[name])}}}"
    raw = c.choice((join(outer.encode(), o.data), assemble(o.table, twice, o.data)))
    return Mutant("a key that stands twice", raw, wrong=True, damage=False)


def deep(o: Original, c: Random) -> Mutant:
    depth = c.choice((10_000, 100_000, 1_000_000))
    opening, closing = c.choice((("[", "]"), ('{"a":', "}")))
    nest = opening * depth + (closing if opening == "[" else "1" + closing) * 1
    whole = opening * depth + ("" if opening == "[" else "1") + closing * depth
    text = c.choice((nest, whole))
    where = c.randrange(3)
    if where == 0:
        raw = join(text.encode(), o.data)
    elif where == 1:
        raw = assemble(o.table, text, o.data)
    else:
        raw = assemble(o.table, json.dumps(o.description)[:-1] + ', "recipe": ' + text + "}", o.data)
    return Mutant("JSON nested a million deep", raw, wrong=True, damage=False)


def large(o: Original, c: Random) -> Mutant:
    """As much JSON as the size allows, of the kinds that take the most memory or time to read."""
    count = c.choice((100_000, 1_500_000))
    kinds = ("[]", "{}", "1", "1.5", '"ab"', '{"a":1}', "[[]]", "null", "123456789012345678", "1e5", '"\\u00e9"')
    text = "[" + ",".join([c.choice(kinds)] * count) + "]"
    if c.random() < 0.2:
        text = "1" * 5_000_000
    where = c.randrange(3)
    if where == 0:
        raw = join(text.encode(), o.data)
    elif where == 1:
        raw = assemble(o.table, text, o.data)
    else:
        raw = assemble(o.table, json.dumps({**o.description, "figures": {}})[:-1] + ', "x": ' + text + "}", o.data)
    return Mutant("megabytes of JSON", raw, wrong=True, damage=False)


def not_json(o: Original, c: Random) -> Mutant:
    inner = json.dumps(o.description)
    text = c.choice(
        (inner[:-1], inner + "}", inner.replace('"', "'"), "", "null", "[]", "1", '"x"', "\ufeff" + inner,
         inner + "\x00", inner.replace(": ", ": NaN, ", 1), inner.replace("null", "NaN"),
         inner.replace("null", "Infinity"), inner.replace("null", "1e999"), "__import__('os')",
         inner.encode("utf-16").decode("latin-1"))
    )  # fmt: skip
    return Mutant("a header that is not JSON", assemble(o.table, text, o.data), wrong=text != inner, damage=False)


def metadata(o: Original, c: Random) -> Mutant:
    text = json.dumps(o.description)
    entry: Any = c.choice((None, [], "x", {}, {METADATA_KEY: 1}, {METADATA_KEY: None}, {"pytorch": "pt"}, {"x": text}))
    outer = json.dumps({"__metadata__": entry, **o.table})
    return Mutant("metadata that is not ours", join(outer.encode(), o.data), wrong=True, damage=False)
