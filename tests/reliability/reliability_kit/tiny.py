"""A training run small enough to be done hundreds of times, and what is left when it has ended."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = 60
UNTIMED = ("seconds", "tokens_per_second")


def text(characters: int = 4000, seed: int = 3) -> str:
    """A text with something to learn in it."""
    chance = random.Random(seed)
    words = ["alas", "the king", "is", "gone", "to", "bed\n", "and", "we", "wake.", "who", "é", "没有"]
    parts = [chance.choice(words) for _ in range(characters)]
    return " ".join(parts)[:characters]


def job(folder: Path, cell: str = "lstm", **train: Any) -> dict[str, Any]:
    """The job of training ``tiny`` in ``folder`` on the text that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    if not corpus.exists():
        corpus.write_text(text(), encoding="utf-8")
    options = {
        "name": "tiny",
        "cell": cell,
        "out": "out",
        "hidden": 12,
        "layers": 2,
        "dropout": 0.2,
        "batch": 4,
        "bptt": 16,
        "steps": STEPS,
        "eval_every": 20,
        "sample_every": 30,
        "seed": 5,
        "device": "cpu",
        "precision": "fp32",
        "threads": "1",
        **train,
    }
    return {"folder": str(folder), "corpus": "corpus.txt", "train": options}


LABELLED: dict[str, dict[str, Any]] = {
    "classifier": {"task": "classify", "bidirectional": True, "pool": "max", "norm": "layer"},
    "steered": {"label_column": "label", "label_size": 3, "embed": 5, "label_dropout": 0.2},
}
"""What makes a run one on labelled text."""


def labelled_job(folder: Path, kind: str, cell: str = "lstm", **train: Any) -> dict[str, Any]:
    """The job of training ``tiny`` on labelled text: a classifier, or a model that labels steer."""
    made = job(folder, cell, **{"sample_every": 0, **LABELLED[kind], **train})
    if kind == "classifier":
        del made["train"]["bptt"]
    chance = random.Random(1)
    words = (("rain", "bad"), ("sun", "good"))
    rows = [f"{words[number % 2][0]} {chance.randrange(99)},{words[number % 2][1]}\n" for number in range(80)]
    (folder / "corpus.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return {**made, "corpus": "corpus.csv"}


def resumed(job: dict[str, Any]) -> dict[str, Any]:
    """The same job, going on."""
    return {**job, "train": {**job["train"], "resume": True}}


@dataclass(frozen=True)
class Outcome:
    """What a run left: the file's tensors and header, and the lines of the log, without anything that tells time."""

    tensors: dict[str, bytes]
    header: dict[str, Any]
    log: list[dict[str, Any]]


def outcome(folder: Path, cell: str = "lstm") -> Outcome:
    """Read what the run in ``folder`` left."""
    from checkpoints.files import load_tensors
    from checkpoints.header import read_header

    path = folder / "out" / f"tiny.{cell}.safetensors"
    header = read_header(path).to_json()
    header.pop("created")
    header["figures"].pop("seconds")
    tensors = {name: tensor.numpy().tobytes() for name, tensor in load_tensors(path).items()}
    lines = (folder / "out" / f"tiny.{cell}.run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    log = [{key: value for key, value in json.loads(line).items() if key not in UNTIMED} for line in lines]
    return Outcome(tensors, header, log)


def steps_done(folder: Path) -> list[int]:
    """The steps that the children have done in this folder, in order, redone ones again."""
    path = folder / "steps.txt"
    return [int(line) for line in path.read_text(encoding="ascii").split()] if path.exists() else []


def wait_for(path: Path, child: Any, seconds: float = 120.0) -> None:
    """Until a child has made a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come: {child.said}"
        time.sleep(0.005)


def saved_step(folder: Path, cell: str = "lstm") -> int | None:
    """The step of the resume state; None if there is none yet."""
    from checkpoints.resume import FILE, load_resume

    path = folder / "out" / f"tiny.{cell}.run" / FILE
    return load_resume(path).run.step if path.exists() else None


def train_here(folder: Path) -> Path:
    """Train ``tiny`` in this process; the lstm's checkpoint."""
    from checkpoints.train import train

    made = job(folder, "lstm,gru", hidden=32, layers=1, steps=3, sample_every=0)
    options = {**made["train"], "out": str(folder / "trained")}
    return train(folder / "corpus.txt", **options)[0]
