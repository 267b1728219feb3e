"""A run that was stopped and resumed is the run that was not."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cells.errors import CelloquyError, UsageError
from checkpoints import trainer
from checkpoints.files import load_tensors
from checkpoints.header import read_header
from checkpoints.interrupt import Interrupted
from checkpoints.progress import Reporter
from checkpoints.resume import BEFORE, FILE

Train = Callable[..., Path]
Events = Callable[..., list[dict[str, Any]]]

ROOT = Path(__file__).parents[2]
SMALL = {"hidden": 12, "batch": 4, "bptt": 16, "threads": "1", "precision": "fp32", "lr": 1e-2, "eval_every": 20}
CLOCKED = ("seconds", "tokens_per_second")
"""What differs between two runs of the same kind."""


def unclocked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in CLOCKED} for record in records]


def assert_same_run(one: Path, other: Path, events: Events) -> None:
    """Same weights to the bit, same figures in the log, same state to go on from."""
    for first, second in (
        (one, other),
        *[tuple(path.with_name(path.name.replace("safetensors", "run")) / FILE for path in (one, other))],
    ):
        tensors, again = load_tensors(first), load_tensors(second)
        assert tensors.keys() == again.keys()
        assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert unclocked(events(one)) == unclocked(events(other))


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3, "sample_every": 25},
        {"optimizer": "sgd", "lr": 0.5, "schedule": "plateau", "cell": "gru"},
        {"precision": "bf16", "store": "bf16", "layers": 2, "cell": "rnn"},
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(
    small_train: Train, events: Events, options: dict[str, Any], stopper: Any
) -> None:
    whole = small_train(name="whole", **options)
    for step in (20, 50):
        with pytest.raises(Interrupted):
            small_train(name="parts", **options, reporter=stopper(step), resume=step > 20)
    parts = small_train(name="parts", **options, resume=True)
    assert_same_run(whole, parts, events)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(
    small_train: Train, corpus: Path, number: int, status: int, stopper: Any
) -> None:
    with pytest.raises(Interrupted) as caught:
        small_train(reporter=stopper(30, number))
    assert caught.value.exit_status == status
    assert f"celloquy train {corpus} --name tiny --out" in str(caught.value)
    assert str(caught.value).endswith("--resume")
    assert "stopped at step 30 and saved" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_stopped_before_its_first_validation_leaves_a_checkpoint(
    small_train: Train, tmp_path: Path, stopper: Any
) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(10))
    header = read_header(tmp_path / "checkpoints" / "tiny.lstm.safetensors")
    assert header.figures["step"] == 10
    assert header.figures["val_loss"] > 0


def test_the_handlers_of_the_caller_come_back(small_train: Train, stopper: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(10))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_leaves_at_once(small_train: Train, stopper: Any) -> None:
    class Impatient(stopper):
        def train(self, record: dict[str, Any], fraction: float, left: float | None) -> None:
            super().train(record, fraction, left)
            super().train(record, fraction, left)

    with pytest.raises(KeyboardInterrupt):
        small_train(reporter=Impatient(20))


def test_the_resume_state_is_no_pickle_and_saved_at_the_start(small_train: Train, tmp_path: Path, stopper: Any) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(10))
    file = tmp_path / "checkpoints" / "tiny.lstm.run" / FILE
    raw = file.read_bytes()
    table = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(table["__metadata__"]["celloquy"])["run"]["step"] == 10


def test_a_finished_run_can_be_prolonged(small_train: Train, events: Events) -> None:
    small_train(steps=40, schedule="constant", name="parts")
    parts = small_train(steps=60, schedule="constant", name="parts", resume=True)
    whole = small_train(steps=60, schedule="constant", name="whole")
    assert_same_run(whole, parts, events)
    assert len(events(parts, "done")) == 1


def test_a_finished_run_is_left_alone(small_train: Train, messages: io.StringIO) -> None:
    path = small_train()
    before = path.read_bytes()
    assert small_train(resume=True) == path
    assert path.read_bytes() == before
    assert "is finished" in messages.getvalue()


def test_a_family_goes_on_with_the_cell_that_was_stopped(
    small_train: Train, tmp_path: Path, events: Events, stopper: Any
) -> None:
    class SecondCell(stopper):
        def start(self, name: str, description: str) -> None:
            self.step = 30 if name == "tiny.gru" else 0

    with pytest.raises(Interrupted, match="--cell rnn,gru,lstm"):
        small_train(cell="rnn,gru,lstm", reporter=SecondCell(0))
    folder = tmp_path / "checkpoints"
    rnn = (folder / "tiny.rnn.safetensors").read_bytes()
    small_train(cell="rnn,gru,lstm", resume=True)
    assert (folder / "tiny.rnn.safetensors").read_bytes() == rnn
    for cell in ("gru", "lstm"):
        (done,) = events(folder / f"tiny.{cell}.safetensors", "done")
        assert done["step"] == 60


def test_options_of_the_first_call_need_not_be_repeated(
    corpus: Path, tmp_path: Path, small_train: Train, stopper: Any
) -> None:
    from checkpoints.header import read_header
    from checkpoints.train import train

    with pytest.raises(Interrupted):
        small_train(reporter=stopper(30))
    (path,) = train(corpus, name="tiny", out=tmp_path / "checkpoints", resume=True, reporter=Reporter(io.StringIO()))
    assert read_header(path).figures["step"] == 60
    assert read_header(path).model["hidden_size"] == 12


@pytest.mark.parametrize("change", [{"hidden": 13}, {"seed": 5}, {"batch": 2}, {"norm": "layer"}])
def test_what_a_run_is_made_of_cannot_change(small_train: Train, change: dict[str, Any], stopper: Any) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(30))
    with pytest.raises(UsageError, match="cannot change when a run is resumed"):
        small_train(resume=True, **change)


def test_a_changed_corpus_is_refused(small_train: Train, corpus: Path, stopper: Any) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(30))
    corpus.write_text(corpus.read_text() + "More.\n")
    with pytest.raises(CelloquyError, match="not the one"):
        small_train(resume=True)


def test_without_a_run_there_is_nothing_to_resume(small_train: Train) -> None:
    with pytest.raises(CelloquyError, match="nothing to resume"):
        small_train(resume=True)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-9], lambda raw: b"", lambda raw: raw.replace(b"best_step", b"x" * 9)]
)
def test_a_damaged_resume_state_is_one_line(small_train: Train, tmp_path: Path, damage: Any, stopper: Any) -> None:
    with pytest.raises(Interrupted):
        small_train(reporter=stopper(30))
    for name in (FILE, BEFORE):
        file = tmp_path / "checkpoints" / "tiny.lstm.run" / name
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CelloquyError) as caught:
        small_train(resume=True)
    assert "\n" not in str(caught.value)


def test_a_run_that_was_killed_goes_on_from_its_last_save(
    small_train: Train, corpus: Path, tmp_path: Path, events: Events
) -> None:
    folder = tmp_path / "checkpoints"
    settings = {**SMALL, "steps": 200}
    code = (
        "import sys; from checkpoints import trainer; trainer.SAVE_SECONDS = 0.05\n"
        "from checkpoints.train import train\n"
        f"train({str(corpus)!r}, name='killed', out={str(folder)!r}, **{settings!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    log = folder / "killed.lstm.run" / "log.jsonl"
    try:
        deadline = time.monotonic() + 60
        while not (log.exists() and log.read_bytes().count(b"\n") > 8) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert 8 < log.read_bytes().count(b"\n") < 30, "it should have been killed in the middle"
    killed = small_train(name="killed", resume=True, **settings)
    whole = small_train(name="whole", **settings)
    assert_same_run(whole, killed, events)


def test_saving_is_as_often_as_promised(small_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[int] = []
    save = trainer.Trainer.save

    def counted(run: trainer.Trainer, *how: Any) -> None:
        saves.append(run.done.step)
        save(run, *how)

    monkeypatch.setattr(trainer.Trainer, "save", counted)
    monkeypatch.setattr(trainer, "SAVE_SECONDS", 3600.0)
    small_train()
    assert saves == [0, 60]
    monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(trainer, "SAVE_SHARE", math.inf)
    saves.clear()
    small_train()
    assert len(saves) > 2
