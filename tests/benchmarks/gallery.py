"""Every cell on the same text for the same time: validation loss, parameters, tokens a second. Prints a table.

Run it by name: ``python tests/benchmarks/gallery.py [--corpus FILE] [--minutes 1] [--cells lstm,mingru]
[--write docs/plugins.md]``; the default corpus lies beside the repository. Options after ``--`` go to
``celloquy train`` (``-- --layers 2``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from runs import DATA, show, speed, train  # noqa: E402

from checkpoints.finding import entry  # noqa: E402
from checkpoints.header import read_header  # noqa: E402
from plugins.registry import load_plugins  # noqa: E402


def row(path: Path) -> tuple[float, int, float]:
    """Validation loss in nats a character, parameters, tokens a second of the training itself."""
    header = read_header(path)
    return header.figures["val_loss"], entry(path, header).parameters, speed(path)


def table(rows: list[tuple[float, int, float, str]], spent: str) -> str:
    """The rows as Markdown, best first; ``spent`` says on what each cell was trained."""
    lines = [f"| cell | validation loss after {spent}, nats a character | parameters | tokens a second |"]
    lines.append("|---|---|---|---|")
    lines += [f"| `{cell}` | {loss:.3f} | {count:,} | {rate:,.0f} |" for loss, count, rate, cell in sorted(rows)]
    return "\n".join(lines)


def main() -> None:
    """Train each cell in turn and print the table, best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=DATA / "tinyshakespeare.txt")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cells", default=",".join(load_plugins().cells))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the table between its marks in this page.")
    parser.add_argument("train_options", nargs="*")
    options = parser.parse_args()
    rows: list[tuple[float, int, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in options.cells.split(","):
            given = ["--minutes", str(options.minutes), "--seed", "1", *options.train_options]
            path = train(options.corpus, "gallery", cell, Path(folder), given)
            rows.append((*row(path), cell))
            print(f"{cell}: {rows[-1][0]:.3f}", file=sys.stderr, flush=True)
    text = table(rows, " ".join([f"{options.minutes:g} min", *options.train_options]))
    show(text, options.write, "gallery")


if __name__ == "__main__":
    main()
