"""Resume states that somebody forged: one line, never a traceback; a run without state begins anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reliability_kit import tiny
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger
from torch import Tensor

from checkpoints.digest import description
from checkpoints.files import load_tensors, save_safetensors
from checkpoints.tensor_table import read_table

Change = Callable[[dict[str, Any], dict[str, Tensor]], object]

FORGED: dict[str, Change] = {
    "a random state of three bytes": lambda d, t: t.update({"random.cpu": torch.zeros(3, dtype=torch.uint8)}),
    "a random state of other bytes": lambda d, t: t.update({"random.cpu": torch.full((5056,), 255, dtype=torch.uint8)}),
    "no random state": lambda d, t: t.pop("random.cpu"),
    "no carried state": lambda d, t: [t.pop(name) for name in list(t) if name.startswith("state.")],
    "a carried state of strange name": lambda d, t: t.update({"state.x": torch.zeros(4, 12)}),
    "a carried state of one row": lambda d, t: t.update({"state.0.h": torch.zeros(1, 12)}),
    "a carried state that is a number": lambda d, t: t.update({"state.0.h": torch.tensor(1.0)}),
    "a carried state of whole numbers": lambda d, t: t.update({"state.0.h": torch.zeros(4, 12, dtype=torch.int64)}),
    "an optimizer's state of strange name": lambda d, t: t.update({"optimizer.readout.bias/x": torch.zeros(3)}),
    "steps below zero": lambda d, t: d["run"].update(step=-5, last_eval=-9),
    "steps without end": lambda d, t: d["run"].update(step=1 << 70),
    "a place beyond all texts": lambda d, t: d["run"].update(read=1 << 62),
    "a log of another length": lambda d, t: d["run"].update(log_bytes=1 << 50),
    "a log before its beginning": lambda d, t: d["run"].update(log_bytes=-7),
    "an absurd rate": lambda d, t: d["run"].update(rate_scale=1e300),
    "other options": lambda d, t: d["options"].update(hidden=-1, cell="../x", optimizer={"a": 1}),
    "an option that is none": lambda d, t: d["options"].update(evil="os.system"),
    "another machine": lambda d, t: d["machine"].update(threads="\x1b[2J", precision=["bf16"], device="cpu"),
    "another tokenizer": lambda d, t: d.update(tokenizer={"kind": "char", "characters": "ab"}),
    "a tokenizer that is none": lambda d, t: d.update(tokenizer={"kind": "\x1b[2J"}),
    "another model": lambda d, t: d.update(model={"vocabulary_size": 1 << 24}),
    "weights that are none": lambda d, t: t["model.readout.bias"].fill_(torch.nan),
}


@pytest.fixture(scope="module")
def begun(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("begun")
    assert nursery.run(tiny.job(folder, steps=20))[0] == 0
    path = folder / "out" / "tiny.lstm.run" / "resume.safetensors"
    return json.loads(description(read_table(path))), load_tensors(path)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_resume_state_is_one_line(
    nursery: Nursery, ledger: Ledger, tmp_path: Path, begun: tuple[dict[str, Any], dict[str, Tensor]], name: str
) -> None:
    with ledger.attempt("a forged resume state: gone on from, or one line, never a traceback"):
        described, tensors = json.loads(json.dumps(begun[0])), {key: value.clone() for key, value in begun[1].items()}
        FORGED[name](described, tensors)
        folder = tmp_path / "out" / "tiny.lstm.run"
        folder.mkdir(parents=True)
        save_safetensors(folder / "resume.safetensors", tensors, json.dumps(described))
        status, said = nursery.run(tiny.resumed(tiny.job(tmp_path, steps=24)))
        assert status in (0, 1, 2), said
        assert "Traceback" not in said
        assert "\x1b" not in said
        assert said.count("error: ") == (status != 0), said
