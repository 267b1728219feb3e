"""The mean over processes: by shared memory where all are on one machine, by an all-reduce otherwise."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from checkpoints import parallel

ROOT = Path(__file__).resolve().parents[2]

PROCESS = """
import json, os, random, sys, time
import torch
from checkpoints import averaging
from checkpoints.parallel import joined_ranks

rank, count, fault = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), sys.argv[1]
if fault == "none here" and rank == 0:
    del os.memfd_create
if fault == "too large" and rank == 0:
    os.posix_fallocate = lambda *given: (_ for _ in ()).throw(OSError(28, "No space left on device"))
if fault == "out of reach" and rank == 1:
    averaging.os = type("Os", (), {**vars(os), "open": lambda *given: (_ for _ in ()).throw(PermissionError(13, ""))})
if fault == "another one's" and rank == 1:
    other = os.memfd_create("other")
    os.ftruncate(other, 1 << 20)
    averaging.os = type("Os", (), {**vars(os), "open": lambda *given: os.dup(other)})
if fault == "told otherwise" and rank == 1:
    os.environ["LOCAL_WORLD_SIZE"] = "1"
if fault == "limit":
    averaging.LARGEST_SHARED = 7

def part(rank, turn, sizes):
    chance = torch.Generator().manual_seed(1000 * turn + rank)
    return [torch.randn(size, generator=chance) * 3 for size in sizes]

ways, right, bits = set(), True, []
with joined_ranks() as ranks:
    for turn in range(60):
        sizes = [(3, 5), (7,), ()] if turn % 20 < 10 else [(2, 2)]
        tensors = part(rank, turn, sizes)
        if random.random() < 0.3:
            time.sleep(random.random() / 100)
        ranks.average([torch.empty(0)])
        ranks.average(tensors)
        ways.add(type(ranks._averaging).__name__)
        parts = [part(other, turn, sizes) for other in range(count)]
        for place, tensor in enumerate(tensors):
            exact = sum(some[place].double() for some in parts) / count
            right = right and torch.allclose(tensor.double(), exact, rtol=1e-5, atol=1e-6)
            bits += tensor.flatten().tolist()
print(json.dumps([sorted(ways), right, bits]))
"""


def ran(count, fault="", local=None):
    """What each of so many processes found: (ways of exchanging, whether all means were right, their numbers)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    place |= {"LOCAL_WORLD_SIZE": str(local or count), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, fault],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    return [json.loads(process.communicate(timeout=120)[0]) for process in processes]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memory that processes can share by a file")
@pytest.mark.parametrize("count", [2, 3])
def test_processes_of_one_machine_find_the_mean_by_memory_that_they_share(count):
    found = ran(count)
    for ways, right, bits in found:
        assert ways == ["SharedMean"]
        assert right
        assert bits == found[0][2]


@pytest.mark.parametrize(
    "fault", ["none here", "too large", "out of reach", "another one's", "limit", "elsewhere", "told otherwise"]
)
def test_without_shared_memory_for_all_of_them_the_mean_is_reduced(fault):
    found = ran(2, fault, local=1 if fault == "elsewhere" else None)
    for ways, right, bits in found:
        assert ways == ["AllReduce"]
        assert right
        assert bits == found[0][2]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memory that processes can share by a file")
def test_two_processes_find_the_same_bits_either_way():
    assert ran(2)[0][2] == ran(2, "limit")[0][2]


def test_a_fault_of_this_process_is_not_told_as_the_end_of_another(monkeypatch):
    def full(*given):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(parallel, "averaging", full)
    ranks = parallel.Ranks()
    ranks.count = 2
    with pytest.raises(RuntimeError, match="out of memory"):
        ranks.average([torch.ones(2)])


LEAVING = """
import atexit, sys
from checkpoints.parallel import joined_ranks
from repl.exits import leave

atexit.register(print, "took itself apart")
if sys.argv[1:]:
    with joined_ranks() as ranks:
        ranks.total([1.0])
sys.stdout.write("written")
leave(3)
"""


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_process_that_exchanged_with_others_leaves_at_once_with_all_it_wrote(exchanged):
    """gloo's threads may outlive the exchange: a run that was complete ended in an abort, once in some sixty."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LEAVING, *(["exchange"] if exchanged else [])],
            env={**os.environ, **place, "RANK": str(rank), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 3
        assert said == ("written" if exchanged else "writtentook itself apart\n")
