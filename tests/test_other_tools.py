"""docs/other-tools.md: its programs run as printed on what its commands write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checkpoints.exchange import export_weights
from checkpoints.finding import SHIPPED
from checkpoints.loading import load_checkpoint
from checkpoints.onnx_file import export_onnx

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "other-tools.md").read_text(encoding="utf-8")


def program(name: str) -> str:
    """The block of the page that begins with this comment."""
    (found,) = re.findall(rf"^```python\n(# {re.escape(name)}\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_checkpoint(SHIPPED / "shakespeare.gru.safetensors")
    export_weights(loaded, tmp_path)
    export_onnx(loaded, tmp_path)


def test_the_module_of_the_page_takes_the_exported_weights(exported: None) -> None:
    import torch

    names: dict[str, object] = {}
    exec(program("plain.py"), names)
    loaded = load_checkpoint(SHIPPED / "shakespeare.gru.safetensors")
    with torch.no_grad():
        wanted = loaded.model(torch.tensor(loaded.tokenizer.encode("ROMEO:")).unsqueeze(1))[0][:, 0]
    assert torch.allclose(names["logits"], wanted, atol=2e-5)  # type: ignore[arg-type]


def test_the_loop_of_the_page_runs_the_exported_step(exported: None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(program("step.py"), {})
    assert re.fullmatch(r"after ROMEO: most likely '.+'\n", capsys.readouterr().out)


def test_the_cell_of_the_notebook_makes_a_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    *setting, last = program("notebook").strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(setting), names)
    assert hasattr(eval(last, names), "_repr_html_")
