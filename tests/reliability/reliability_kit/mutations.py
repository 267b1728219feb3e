"""Ways to damage or to forge a checkpoint file, each from a seed.

Damage leaves the check sums as they were; a forgery makes them anew, as a stranger can.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from reliability_kit.forged_headers import (
    any_value,
    lost_value,
    names,
    not_finite,
    other_cell,
    sizes,
    strange_cell,
    template,
    tokenizer,
    vocabulary,
)
from reliability_kit.forged_tables import (
    all_integers,
    deep,
    duplicate_key,
    large,
    lost_or_strange,
    many_tensors,
    metadata,
    not_json,
    out_of_range,
    overlap,
    strange_entry,
    transposed,
    wrong_dtype,
    wrong_shape,
)
from reliability_kit.parts import Mutant, Original, Random


def flip_bits(o: Original, c: Random) -> Mutant:
    raw = bytearray(o.raw)
    for _ in range(c.choice((1, 1, 1, 2, 8, 64))):
        raw[c.randrange(len(raw))] ^= 1 << c.randrange(8)
    return Mutant("bits flipped anywhere", bytes(raw))


def flip_header(o: Original, c: Random) -> Mutant:
    raw = bytearray(o.raw)
    for _ in range(c.choice((1, 1, 2, 4))):
        raw[c.randrange(o.header_end)] ^= 1 << c.randrange(8)
    return Mutant("bits flipped in the header", bytes(raw))


def change_letter(o: Original, c: Random) -> Mutant:
    raw = bytearray(o.raw)
    raw[8 + c.randrange(o.header_end - 8)] = c.choice(b'abz019{}[]",:\\.-eE \x00\xff\x1b')
    return Mutant("a letter of the header changed", bytes(raw))


def cut(o: Original, c: Random) -> Mutant:
    return Mutant("cut short", o.raw[: c.choice((0, 1, 7, 8, 9, c.randrange(len(o.raw)), len(o.raw) - 1))], wrong=True)


def append(o: Original, c: Random) -> Mutant:
    return Mutant("something appended", o.raw + c.randbytes(c.choice((1, 8, 4096))), wrong=True)


def zero_block(o: Original, c: Random) -> Mutant:
    at, size = c.randrange(len(o.raw)), c.choice((8, 512, 4096))
    return Mutant("a block of zeros", (o.raw[:at] + bytes(size) + o.raw[at + size :])[: len(o.raw)])


def repeat_block(o: Original, c: Random) -> Mutant:
    at, size = c.randrange(len(o.raw)), c.choice((1, 16, 512))
    return Mutant("a block that stands twice", o.raw[: at + size] + o.raw[at:], wrong=True)


def swap_blocks(o: Original, c: Random) -> Mutant:
    size = 512
    one, two = sorted(c.randrange(len(o.raw) // size) * size for _ in range(2))
    raw = bytearray(o.raw)
    raw[one : one + size], raw[two : two + size] = raw[two : two + size], raw[one : one + size]
    return Mutant("two blocks exchanged", bytes(raw))


def junk(o: Original, c: Random) -> Mutant:
    return Mutant("not a checkpoint at all", c.randbytes(c.choice((0, 3, 8, 100, 5000))), wrong=True)


def header_length(o: Original, c: Random) -> Mutant:
    size = len(o.raw)
    true = o.header_end - 8
    wrong = (0, 1, 2, true - 1, true + 1, size - 8, size - 7, size, 1 << 24, 1 << 31, 1 << 32, 1 << 62, (1 << 64) - 1)
    return Mutant("an absurd header length", c.choice(wrong).to_bytes(8, "little") + o.raw[8:], wrong=True)


BYTES = (flip_bits, flip_header, change_letter, cut, append, zero_block, repeat_block, swap_blocks, junk, header_length)
FORGED = (
    *(overlap, out_of_range, wrong_dtype, all_integers, wrong_shape, transposed, lost_or_strange, strange_entry),
    many_tensors,
    *(duplicate_key, deep, large, not_json, metadata),
    *(any_value, lost_value, vocabulary, tokenizer, sizes, strange_cell, other_cell, names, template, not_finite),
)  # fmt: skip


def mutants(raw: bytes, count: int, seed: int) -> Iterator[Mutant]:
    """``count`` mutants of a file: every kind in turn, bytes as often as forgeries."""
    original, chance = Original.of(raw), random.Random(seed)
    for number in range(count):
        kinds = BYTES if number % 2 else FORGED
        yield kinds[number // 2 % len(kinds)](original, chance)
