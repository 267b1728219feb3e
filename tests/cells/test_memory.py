"""Keeping freed memory, or giving it back, is a request to the C library; all must work whether it agrees or not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cells import memory
from cells.memory import keep_freed_memory, worth_keeping

CODE = """
import resource, torch
from cells.memory import keep_freed_memory
if {keep}: keep_freed_memory()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before = resident()
block = torch.ones(64 << 20, dtype=torch.uint8)
del block
print((resident() - before) >> 20)
"""


def kept_megabytes(keep):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(keep=keep)], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_a_large_freed_block_stays_with_the_process():
    assert kept_megabytes(True) > 48
    assert kept_megabytes(False) < 16


def test_asking_on_another_system_changes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._glibc.__wrapped__("mallopt") is None
    monkeypatch.setattr(memory, "_glibc", lambda name: None)
    assert keep_freed_memory.__wrapped__() is False
    assert memory.give_back_freed_memory() is False


def test_long_sequences_give_it_back():
    assert worth_keeping(128, 64, 512)
    assert not worth_keeping(1024, 64, 512)


HOLES = """
from cells.memory import give_back_freed_memory
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20
blocks = [bytes(100_000) + bytes([number % 2]) for number in range(1000)]
kept, blocks = blocks[::50], None
before = resident()
gave = give_back_freed_memory()
print(gave, before - resident())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no malloc_trim either")
def test_what_is_free_between_what_is_kept_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=120)
    gave, megabytes = done.stdout.split()
    assert gave == "True"
    assert int(megabytes) > 60
