"""``--recipe auto`` against the fixed defaults of ``train``, the same text and the same time. Prints a table.

Run it by name: ``python tests/benchmarks/auto_recipe.py [--corpora FILE…] [--minutes 1] [--cells lstm]
[--write docs/training.md]``. Each text is trained with both, one after the other, in a process of its own: the first
100 KB of the first text, and each of them whole. ``--keep DIR`` keeps the runs, and finished ones found there are not
repeated; ``--prefix "taskset -c 0"`` stands before every training; options after ``--`` go to all (``-- --threads 1``).
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from runs import DATA, events, markdown, show, speed, train

from checkpoints.header import read_header

SMALL = 100_000
WAYS = {"defaults": [], "auto": ["--recipe", "auto"]}


def pieces(corpora: list[Path], folder: Path) -> dict[str, Path]:
    """What is trained on, by title."""
    small = folder / f"small{corpora[0].suffix}"
    small.write_bytes(corpora[0].read_bytes()[:SMALL])
    named = {f"{corpora[0].stem}, first {SMALL // 1000} KB": small}
    return named | {f"{path.stem}, {path.stat().st_size / 1e6:.1f} MB": path for path in corpora}


def row(title: str, cell: str, way: str, path: Path) -> list[str]:
    """One line of the table."""
    recipe, best = read_header(path).recipe, min(event["val_loss"] for event in events(path, "eval"))
    chosen = f"{recipe['hidden']} x {recipe['layers']}, dropout {recipe['dropout']:g}, bptt {recipe['bptt']}"
    done = events(path, "done")[0]
    return [title, cell, way, chosen, f"{recipe['lr']:g}", f"{done['step']:,}", f"{speed(path):,.0f}", f"{best:.4f}"]


def main(arguments: list[str] | None = None) -> None:
    """Train each text both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    files = [DATA / "tinyshakespeare.txt", DATA / "chitchat.jsonl"]
    parser.add_argument("--corpora", type=Path, nargs="+", default=files, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--cells", default="lstm", help="separated by commas")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the table between its marks in this page.")
    parser.add_argument("train_options", nargs="*")
    asked = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = asked.keep or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for number, (title, corpus) in enumerate(pieces(asked.corpora, out).items()):
            for cell in asked.cells.split(","):
                for way, options in WAYS.items():
                    given = [*options, "--minutes", str(asked.minutes), *asked.train_options]
                    given += ["--format", "dialog"] if corpus.suffix == ".jsonl" else []
                    path = train(corpus, f"{way}{number}", cell, out, given, shlex.split(asked.prefix))
                    rows.append(row(title, cell, way, path))
                    print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["text", "cell", "recipe", "size", "lr", "steps", "tokens/s", "validation loss"]
    text = markdown(header, rows)
    show(text, asked.write, "auto recipe")


if __name__ == "__main__":
    main()
