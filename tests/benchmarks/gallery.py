"""Every cell on the same text for the same time: validation loss, parameters, tokens a second. Prints a table.

Run it by name: ``python tests/benchmarks/gallery.py [--corpus FILE] [--minutes 1] [--cells lstm,mingru]
[--write docs/plugins.md]``; the default corpus lies beside the repository. Options after ``--`` go to
``celloquy train`` (``-- --layers 2``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from checkpoints.finding import entry  # noqa: E402
from checkpoints.header import read_header  # noqa: E402
from plugins.registry import load_plugins  # noqa: E402

CORPUS = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
BEGIN, END = "<!-- table: gallery -->", "<!-- end of table -->"
TRAIN = "import sys; from repl.cli import main; sys.argv[0] = 'celloquy'; main()"


def train(cell: str, corpus: Path, minutes: float, out: Path, extra: list[str]) -> Path:
    """Train one checkpoint in a process of its own, so that no cell profits from another's warm memory."""
    arguments = ["train", str(corpus), "--name", "gallery", "--cell", cell, "--out", str(out)]
    arguments += ["--minutes", str(minutes), "--seed", "1", *extra]
    subprocess.run([sys.executable, "-c", TRAIN, *arguments], cwd=ROOT, check=True, capture_output=True)
    return out / f"gallery.{cell}.safetensors"


def row(path: Path) -> tuple[float, int, float]:
    """Validation loss in nats a character, parameters, tokens a second of the training itself."""
    header = read_header(path)
    log = path.with_suffix(".run") / "log.jsonl"
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rates = sorted(event["tokens_per_second"] for event in events if event["event"] == "train")
    return header.figures["val_loss"], entry(path, header).parameters, rates[len(rates) // 2]


def table(rows: list[tuple[float, int, float, str]], spent: str) -> str:
    """The rows as Markdown, best first; ``spent`` says on what each cell was trained."""
    lines = [f"| cell | validation loss after {spent}, nats a character | parameters | tokens a second |"]
    lines.append("|---|---|---|---|")
    lines += [f"| `{cell}` | {loss:.3f} | {count:,} | {rate:,.0f} |" for loss, count, rate, cell in sorted(rows)]
    return "\n".join(lines)


def write(page: Path, text: str) -> None:
    """Put the table between its marks in a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for the table: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Train each cell in turn and print the table, best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cells", default=",".join(load_plugins().cells))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the table between its marks in this page.")
    parser.add_argument("train_options", nargs="*")
    options = parser.parse_args()
    rows: list[tuple[float, int, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in options.cells.split(","):
            path = train(cell, options.corpus, options.minutes, Path(folder), options.train_options)
            rows.append((*row(path), cell))
            print(f"{cell}: {rows[-1][0]:.3f}", file=sys.stderr, flush=True)
    text = table(rows, " ".join([f"{options.minutes:g} min", *options.train_options]))
    print(text)
    if options.write:
        write(options.write, text)


if __name__ == "__main__":
    main()
