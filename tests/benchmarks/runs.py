"""What the scripts here that train share: a training in a process of its own, its log, and tables in a page."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PROGRAM = "import sys; from repl.cli import main; sys.argv[0] = 'celloquy'; main()"


def celloquy(arguments: Sequence[str], prefix: Sequence[str] = ()) -> str:
    """Standard output of ``celloquy ARGUMENTS`` from this working tree; ``prefix`` stands before it (``nice -n 5``)."""
    command = [*prefix, sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"celloquy {shlex.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def train(corpus: Path, name: str, cell: str, out: Path, options: Sequence[str], prefix: Sequence[str] = ()) -> Path:
    """Train one checkpoint, or take the one that a finished run of that name left in ``out``."""
    path = out / f"{name}.{cell}.safetensors"
    if not path.exists() or not any(event["event"] == "done" for event in events(path)):
        celloquy(["train", str(corpus), "--name", name, "--cell", cell, "--out", str(out), *options], prefix)
    return path


def events(path: Path, kind: str = "") -> list[dict[str, Any]]:
    """The lines of a checkpoint's log, all or of one kind."""
    log = path.with_name(path.name.removesuffix(".safetensors") + ".run") / "log.jsonl"
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [record for record in records if kind in ("", record["event"])]


def speed(path: Path) -> float:
    """Tokens a second of a run's steps, the median of its log."""
    rates = sorted(event["tokens_per_second"] for event in events(path, "train"))
    return float(rates[len(rates) // 2])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def show(text: str, page: Path | None, mark: str) -> None:
    """Print a table, and put it into a page if one is given."""
    print(text)
    if page:
        put(page, mark, text)


def put(page: Path, mark: str, text: str) -> None:
    """Put ``text`` between ``<!-- table: MARK -->`` and ``<!-- end of table -->`` in a page."""
    begin, end = f"<!-- table: {mark} -->", "<!-- end of table -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no place for the table: {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
