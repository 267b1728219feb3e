"""Keeping freed memory is a request to the C library; training must work whether it agrees or not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cells.memory import keep_freed_memory

CODE = """
import resource, torch
from cells.memory import keep_freed_memory
if {keep}: keep_freed_memory()
for _ in range(3): torch.zeros(16 << 20).add_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): torch.zeros(16 << 20).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(keep=keep)], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_kept_memory_is_reused_without_page_faults():
    assert faults(True) * 4 < faults(False)


def test_asking_on_another_system_changes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False
