"""Checkpoint files that are damaged or forged: the same model, or one clear line, within a second and 200 MB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reliability_kit import tiny
from reliability_kit.bounds import bounded
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger
from reliability_kit.mutations import Mutant, mutants

from cells.errors import CelloquyError
from checkpoints.finding import describe, find, list_checkpoints, siblings
from checkpoints.header import read_header
from checkpoints.loading import Loaded, load_checkpoint

FAST, ALL = 300, 2000


@pytest.fixture(scope="module")
def real(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint that training has made."""
    folder = tmp_path_factory.mktemp("real")
    status, said = nursery.run(tiny.job(folder, steps=20))
    assert status == 0, said
    return (folder / "out" / "tiny.lstm.safetensors").read_bytes()


def check_said_once(error: CelloquyError) -> None:
    """The message is one line that a terminal can show."""
    text = str(error)
    if not text.isprintable() or not 10 < len(text) < 1000:
        raise AssertionError(f"not one clear line: {text[:300]!r}")


def same_model(one: Loaded, other: Loaded) -> bool:
    weights = zip(one.model.state_dict().items(), other.model.state_dict().items(), strict=True)
    return (
        one.tokenizer.to_json() == other.tokenizer.to_json()
        and one.cell.options == other.cell.options
        and type(one.cell) is type(other.cell)
        and one.model.config == other.model.config
        and all(a == b and torch.equal(x, y) for (a, x), (b, y) in weights)
    )


def attack(mutant: Mutant, path: Path, real: Loaded) -> None:
    """Load, look at, list and find one mutant."""
    path.write_bytes(mutant.raw)
    loaded = None
    with bounded():
        try:
            loaded = load_checkpoint(path)
        except CelloquyError as error:
            check_said_once(error)
    if loaded is not None:
        if mutant.wrong:
            raise AssertionError("it was loaded")
        if mutant.damage and not same_model(loaded, real):
            raise AssertionError("another model was loaded")
    for look in (read_header, describe, siblings):
        with bounded():
            try:
                look(path)
            except CelloquyError as error:
                check_said_once(error)
                assert loaded is None, "only loading accepts it"
    with bounded():
        problems: list[str] = []
        assert len(list_checkpoints(problems)) + len(problems) >= 1
        assert all(text.isprintable() and len(text) < 1000 for text in problems), problems
        find(path.name.removesuffix(".safetensors"))


def attack_all(real: bytes, ledger: Ledger, folder: Path, count: int, seed: int, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    (folder / "checkpoints").mkdir()
    honest = folder / "honest.safetensors"
    honest.write_bytes(real)
    model = load_checkpoint(honest)
    path = folder / "checkpoints" / "tiny.lstm.safetensors"
    failed = []
    for number, mutant in enumerate(mutants(real, count, seed)):
        try:
            with ledger.attempt("a damaged or forged checkpoint: the same model or one clear line, in 1 s and 200 MB"):
                attack(mutant, path, model)
        except Exception as problem:  # noqa: BLE001 - all are shown together, by what was done to the file
            failed.append(f"{number} {mutant.name}: {type(problem).__name__}: {str(problem)[:300]}")
    assert not failed, "\n".join(failed)


def test_mutations_of_a_checkpoint_give_the_same_model_or_one_line(
    real: bytes, ledger: Ledger, tmp_path: Path, monkeypatch: Any
) -> None:
    attack_all(real, ledger, tmp_path, FAST, 1, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand_mutations_of_a_checkpoint(real: bytes, ledger: Ledger, tmp_path: Path, monkeypatch: Any) -> None:
    attack_all(real, ledger, tmp_path, ALL, 2, monkeypatch)
