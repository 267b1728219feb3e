"""A checkpoint is data: nothing in it is run, imported or fetched, and it can't make a terminal do anything."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest
from reliability_kit.children import ROOT, Nursery
from reliability_kit.ledger import Ledger
from reliability_kit.mutations import Original, mutants
from reliability_kit.parts import assemble

from repl.visible import is_hostile

PACKAGES = ("celloquy", "repl", "checkpoints", "plugins", "cells")
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "imp", "yaml"}
UNSAFE_CALLS = {
    ("torch", "load"),
    ("torch", "save"),
    ("serialization", "load"),
    ("jit", "load"),
    ("hub", "load"),
    ("export", "load"),
    ("os", "system"),
}
UNSAFE_NAMES = {"eval", "exec", "compile", "__import__"}
TITLE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x7f\r\b"


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def unsafe(tree: ast.AST) -> list[str]:
    """What of it reads pickles or runs text."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            owner = (node.module or "").rpartition(".")[2]
            found += [f"{owner}.{alias.name}" for alias in node.names if (owner, alias.name) in UNSAFE_CALLS]
        elif isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            found += [f"{owner}.{node.attr}"] if (owner, node.attr) in UNSAFE_CALLS else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSAFE_NAMES:
            found.append(node.func.id)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
    return found


def test_no_source_reads_a_pickle_or_runs_text(ledger: Ledger) -> None:
    files = sources()
    assert len(files) > 80
    for path in files:
        with ledger.attempt("every source file is searched: no pickle, torch.load, eval or exec"):
            assert not unsafe(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import torch\ntorch.load('x')", "import torch as t, marshal",
        "from torch import load", "from torch.jit import load", "torch.serialization.load(f)",
        "torch.jit.load(f)", "np.load(f, allow_pickle=True)", "eval('1')", "exec(x)", "__import__(name)",
    ],
)  # fmt: skip
def test_the_search_for_unsafe_code_finds_it(code: str) -> None:
    assert unsafe(ast.parse(code))


@pytest.fixture(scope="module")
def honest(speaker: Path) -> Path:
    return speaker / "checkpoints" / "tiny.lstm.safetensors"


def test_loading_and_listing_strangers_files_runs_and_imports_nothing(
    nursery: Nursery, honest: Path, ledger: Ledger, tmp_path: Path
) -> None:
    raw = honest.read_bytes()
    original = Original.of(raw)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "evil_cell.py").write_text("open('ran', 'w').close()\nclass Evil: pass\n", encoding="utf-8")
    files = []
    names = (
        "evil_cell:Evil",
        "evil_cell",
        "evil_cell.Evil",
        "os:system",
        "builtins:eval",
        "../evil_cell",
        "pickle:loads",
    )
    for name in names:
        for place in ("name", "distribution", "options"):
            description = json.loads(json.dumps(original.description))
            description["cell"][place] = {"activation": name, "__reduce__": name} if place == "options" else name
            path = tmp_path / "checkpoints" / f"evil{len(files)}.lstm.safetensors"
            path.write_bytes(assemble(original.table, description, original.data))
            files.append(path)
    for mutant in mutants(raw, 120, 5):
        path = tmp_path / "checkpoints" / f"mutant{len(files)}.lstm.safetensors"
        path.write_bytes(mutant.raw)
        files.append(path)
    with ledger.attempt("loading and listing strangers' files: nothing run, imported, fetched or written", len(files)):
        job = {"folder": str(tmp_path), "honest": str(honest), "audit": [str(path) for path in files]}
        status, said = nursery.run(job)
        assert status == 0, said
        events = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
        inside = str(tmp_path)
        strange = [
            event
            for event in events
            if not event.startswith((f"open {inside}/checkpoints", "os.scandir ", "os.listdir ", "mmap.__new__"))
            and not event.startswith("open <_io")
            and "safetensors" not in event
        ]
        assert not strange, strange[:20]
        assert not (tmp_path / "ran").exists()


def test_names_and_metadata_cannot_steer_a_terminal(
    nursery: Nursery, honest: Path, ledger: Ledger, tmp_path: Path
) -> None:
    original = Original.of(honest.read_bytes())
    (tmp_path / "checkpoints").mkdir()

    def forged(name: str, **changes: object) -> str:
        description = {**json.loads(json.dumps(original.description)), **changes}
        (tmp_path / "checkpoints" / f"{name}.safetensors").write_bytes(
            assemble(original.table, description, original.data)
        )
        return name

    cell = original.description["cell"]
    names = [
        forged("family.lstm", family=TITLE),
        forged("created.lstm", created=TITLE),
        forged("recipe.lstm", recipe={TITLE: TITLE, "list": [TITLE, {TITLE: 1}]}),
        forged("corpus.lstm", corpus={"files": [{"name": TITLE, "bytes": 1}], "fingerprint": TITLE}),
        forged("figures.lstm", figures={"val_loss": TITLE, TITLE: 1}),
        forged("template.lstm", template={"person": TITLE, "answer": TITLE, "end": TITLE}),
        forged("tokenizer.lstm", tokenizer={"kind": TITLE}),
        forged("provider.lstm", cell={**cell, "name": "evil", "distribution": TITLE}),
        forged("cellname.lstm", cell={**cell, "name": TITLE}),
        forged("options.lstm", cell={**cell, "options": {TITLE: TITLE}}),
        forged("model.lstm", model={**original.description["model"], TITLE: 1}),
        forged(f"file{TITLE.replace('/', '')}.lstm"),
        forged("vocabulary.lstm", tokenizer={"kind": "char", "characters": "".join(sorted(set(TITLE)))}),
    ]
    (tmp_path / "checkpoints" / f"damaged{TITLE}.lstm.safetensors").write_bytes(b"nothing")
    commands = [("list",), ("list", "--json"), ("generate", TITLE), ("info", TITLE), ("info", f"x/{TITLE}.safetensors")]
    commands += [command for name in names for command in (("info", name), ("info", name, "--json"))]
    commands += [("generate", name, "-n", "1", "-p", "a", "--seed", "1") for name in names[:-2]]
    commands += [("eval", name, "corpus") for name in names]
    (tmp_path / "corpus").write_text("the king", encoding="utf-8")
    for command in commands:
        with ledger.attempt("hostile names and metadata: list, info and every complaint show them harmlessly"):
            _, out, said = nursery.celloquy(tmp_path, *command)
            shown = out.decode("utf-8") + said
            steering = {c for c in shown if is_hostile(c)}
            assert not steering, (command, steering)
            assert "fault in the program" not in said, command


def test_nothing_outside_the_named_places_is_listed(nursery: Nursery, honest: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    os.mkfifo(tmp_path / "checkpoints" / "pipe.lstm.safetensors")
    (tmp_path / "checkpoints" / "folder.lstm.safetensors").mkdir()
    (tmp_path / "checkpoints" / "loop.lstm.safetensors").symlink_to("loop.lstm.safetensors")
    (tmp_path / "checkpoints" / ".hidden.lstm.safetensors").write_bytes(honest.read_bytes())
    (tmp_path / "checkpoints" / "seen.lstm.safetensors").write_bytes(honest.read_bytes())
    status, out, _ = nursery.celloquy(tmp_path, "list", "--json")
    assert status == 0
    assert [entry["name"] for entry in json.loads(out) if entry["path"].startswith("checkpoints")] == ["seen.lstm"]
