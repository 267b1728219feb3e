"""Checkpoints with labels that strangers made: the same model, or one clear line; and labels never steer a terminal."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from reliability_kit import tiny
from reliability_kit.bounds import bounded
from reliability_kit.children import Nursery
from reliability_kit.forged_labels import FORGED_LABELS, HOSTILE_NAMES
from reliability_kit.ledger import Ledger
from reliability_kit.mutations import mutants
from reliability_kit.parts import Mutant, Original, assemble

from cells.errors import CelloquyError
from checkpoints.finding import describe, find, list_checkpoints
from checkpoints.header import read_header
from checkpoints.labels.classifier import load_classifier
from checkpoints.loading import load_checkpoint
from repl.generator import Writer
from repl.visible import is_hostile

PROMISE = "a damaged or forged checkpoint with labels: the same answers or one clear line, in 1 s and 200 MB"
FAST, ALL = 120, 1000
SIZES: dict[str, Any] = {"hidden": 12, "layers": 1, "steps": 12, "eval_every": 12}


@pytest.fixture(scope="module", params=tiny.LABELLED)
def labelled(request: Any, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tells labels, and one that they steer."""
    folder = tmp_path_factory.mktemp(request.param)
    status, said = nursery.run(tiny.labelled_job(folder, request.param, "gru", out="checkpoints", **SIZES))
    assert status == 0, said
    return folder / "checkpoints" / "tiny.gru.safetensors"


def answers(path: Path) -> list[Any]:
    """What the model in a file says of a text, and under its labels."""
    classifier = load_classifier(path)
    shares = classifier.classify("sun 1 rain")
    assert sum(shares.values()) == pytest.approx(1), shares
    said: list[Any] = [shares]
    if read_header(path).task == "generate":
        writer = Writer(load_checkpoint(path), seed=1)
        said += [writer.generate("sun", length=3, label=name) for name in classifier.labels[:3]]
    return said


def attack(mutant: Mutant, path: Path, honest: list[Any]) -> None:
    path.write_bytes(mutant.raw)
    found = None
    with bounded():
        try:
            found = answers(path)
        except CelloquyError as error:
            check_line(error)
    if found is not None:
        assert not mutant.wrong, "it was loaded"
        assert not mutant.damage or found == honest, "another model was loaded"
    for look in (read_header, describe, load_checkpoint):
        with bounded():
            try:
                look(path)
            except CelloquyError as error:
                check_line(error)
    with bounded():
        problems: list[str] = []
        assert len(list_checkpoints(problems)) + len(problems) >= 1
        assert all(text.isprintable() and len(text) < 1000 for text in problems), problems
        find(path.name.removesuffix(".safetensors"))


def check_line(error: CelloquyError) -> None:
    text = str(error)
    assert text.isprintable() and 10 < len(text) < 1000, f"not one clear line: {text[:300]!r}"  # noqa: PT018


def attack_all(labelled: Path, ledger: Ledger, folder: Path, count: int, seed: int, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    (folder / "checkpoints").mkdir()
    raw = labelled.read_bytes()
    honest = answers(labelled)
    original, chance = Original.of(raw), random.Random(seed)
    path = folder / "checkpoints" / "tiny.gru.safetensors"
    forged = [FORGED_LABELS[number % len(FORGED_LABELS)](original, chance) for number in range(count)]
    failed = []
    for number, mutant in enumerate([*forged, *mutants(raw, count // 2, seed)]):
        try:
            with ledger.attempt(PROMISE):
                attack(mutant, path, honest)
        except Exception as problem:  # noqa: BLE001 - all are shown together, by what was done to the file
            failed.append(f"{number} {mutant.name}: {type(problem).__name__}: {str(problem)[:300]}")
    assert not failed, "\n".join(failed)


def test_mutations_of_checkpoints_with_labels(labelled: Path, ledger: Ledger, tmp_path: Path, monkeypatch: Any) -> None:
    attack_all(labelled, ledger, tmp_path, FAST, 1, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_mutations_of_checkpoints_with_labels(
    labelled: Path, ledger: Ledger, tmp_path: Path, monkeypatch: Any
) -> None:
    attack_all(labelled, ledger, tmp_path, ALL, 2, monkeypatch)


def test_labels_cannot_steer_a_terminal(nursery: Nursery, labelled: Path, ledger: Ledger, tmp_path: Path) -> None:
    original = Original.of(labelled.read_bytes())
    (tmp_path / "checkpoints").mkdir()
    for number, name in enumerate(HOSTILE_NAMES):
        description = json.loads(json.dumps(original.description))
        description["labels"]["names"][0] = name
        description["figures"]["val_labels"] = {name: {"f1": name}}
        path = tmp_path / "checkpoints" / f"forged{number}.gru.safetensors"
        path.write_bytes(assemble(original.table, description, original.data))
    (tmp_path / "checkpoints" / "tiny.gru.safetensors").write_bytes(labelled.read_bytes())
    commands = [("list",), ("classify", "tiny", "-p", "sun"), ("generate", "tiny", "--label", HOSTILE_NAMES[0])]
    commands += [(verb, f"forged{n}", *more) for n in range(len(HOSTILE_NAMES)) for verb, *more in VERBS]
    for command in commands:
        with ledger.attempt("hostile names and metadata: list, info and every complaint show them harmlessly"):
            status, out, said = nursery.celloquy(tmp_path, *command, CELLOQUY_LOAD_PLUGINS="")
            assert not any(is_hostile(one) for one in out.decode() + said.replace("\n", "")), command
            assert status in (0, 1, 2)
            assert "this is a fault" not in said
            assert said.count("error: ") == (status > 0), said


VERBS = (("info",), ("classify", "-p", "sun"))
