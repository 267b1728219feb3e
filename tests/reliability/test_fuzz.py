"""Fuzzing of everything that is parsed, by hypothesis; every input that ever failed is kept in ``seeds``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reliability_kit.ledger import Ledger
from reliability_kit.targets import Target, mutate, targets

SEEDS = Path(__file__).resolve().parent / "seeds"
NAMES = ("header", "transcript", "recipe", "commands", "tokenizers")
ROUNDS = {"header": 150, "transcript": 200, "recipe": 200, "commands": 120, "tokenizers": 300}


@pytest.fixture(scope="module")
def fuzzed(speaker: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CELLOQUY_HOME", str(folder / "home"))
        patch.setenv("CELLOQUY_LOAD_PLUGINS", "")
        yield targets(folder, speaker / "checkpoints" / "tiny.lstm.safetensors")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_are_told_in_one_line(
    fuzzed: dict[str, Target], ledger: Ledger, name: str, data: st.DataObject
) -> None:
    words = st.sampled_from(fuzzed[name].words)
    pieces = data.draw(st.lists(st.one_of(words, st.binary(max_size=8), words), max_size=30))
    with ledger.attempt(f"fuzzing, {name}: one line, never a crash"):
        fuzzed[name].run(b"".join(pieces))


@pytest.mark.parametrize("name", NAMES)
def test_changed_honest_input_is_told_in_one_line(fuzzed: dict[str, Target], ledger: Ledger, name: str) -> None:
    target, chance = fuzzed[name], random.Random(name)
    for seed in target.seeds:
        with ledger.attempt(f"fuzzing, {name}: one line, never a crash"):
            target.run(seed)
    for _ in range(ROUNDS[name]):
        with ledger.attempt(f"fuzzing, {name}: one line, never a crash"):
            data = mutate(chance.choice(target.seeds), chance, target.words, target.seeds)
            try:
                target.run(data)
            except Exception as problem:
                raise AssertionError(f"{data[:2000]!r}") from problem


@pytest.mark.parametrize("seed", sorted(SEEDS.glob("*-*")), ids=lambda path: path.name)
def test_what_failed_once_is_told_in_one_line(fuzzed: dict[str, Target], ledger: Ledger, seed: Path) -> None:
    name = seed.name.partition("-")[0]
    with ledger.attempt(f"fuzzing, {name}: one line, never a crash"):
        fuzzed[name].run(seed.read_bytes())
