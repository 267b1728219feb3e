"""What each regularisation is worth on the same text for the same time. Prints a table.

Run it by name: ``python tests/benchmarks/regularisation.py [--corpus FILE] [--minutes 3] [--write
docs/training.md]``. Every row is a training of an LSTM with 512 units in a process of its own; ``--keep DIR`` keeps the
runs, and finished ones found there are not repeated. ``--prefix "taskset -c 0"`` stands before every training command;
options after ``--`` go to all of them (``-- --threads 1``). Two of these scripts, each on a core of its own and with
``--rows`` of its own, share a ``--keep``; a third call then prints the whole table.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from runs import DATA, events, markdown, show, speed, train

BASE = "--hidden 512 --batch 64 --bptt 128 --lr 3e-3 --schedule cosine --seed 1"
ROWS = {
    "none": "",
    "dropout": "--dropout 0.3",
    "locked dropout": "--dropout 0.3 --dropout-kind locked",
    "recurrent weight dropout": "--weight-dropout 0.2",
    "embedding dropout": "--embedding-dropout 0.05",
    "activation and temporal penalty": "--activation-penalty 2 --temporal-penalty 1",
    "average of the weights": "--ema 0.998",
    "dropout + weight dropout + average": "--dropout 0.3 --weight-dropout 0.2 --ema 0.998",
}


def row(path: Path, title: str, options: str, without: float) -> list[str]:
    """One line of the table; ``without`` is the loss of the run that has no regularisation."""
    best = min(event["val_loss"] for event in events(path, "eval"))
    last, done = events(path, "train")[-1]["loss"], events(path, "done")[0]
    figures = [f"{best:.4f}", f"{best - without:+.4f}", f"{last:.3f}", str(done["step"]), f"{speed(path):,.0f}"]
    return [title, f"`{options}`" if options else "", *figures]


def main(arguments: list[str] | None = None) -> None:
    """Train each row in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=DATA / "tinyshakespeare.txt")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--rows", default=",".join(ROWS), help="titles of the rows, separated by commas")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the table between its marks in this page.")
    parser.add_argument("train_options", nargs="*")
    asked = parser.parse_args(arguments)
    rows, without = [], float("nan")
    with tempfile.TemporaryDirectory() as folder:
        out = asked.keep or Path(folder)
        for number, (title, options) in enumerate(ROWS.items()):
            if title not in asked.rows.split(","):
                continue
            given = [*shlex.split(BASE), "--minutes", str(asked.minutes), *shlex.split(options), *asked.train_options]
            path = train(asked.corpus, f"row{number}", "lstm", out, given, shlex.split(asked.prefix))
            if title == "none":
                without = min(event["val_loss"] for event in events(path, "eval"))
            rows.append(row(path, title, options, without))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["regularisation", "options", "validation loss", "against none", "last training loss", "steps", "tokens/s"]
    text = markdown(header, rows)
    show(text, asked.write, "regularisation")


if __name__ == "__main__":
    main()
