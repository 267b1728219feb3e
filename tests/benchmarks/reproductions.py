"""The experiments of docs/reproductions.md, run again. Prints their tables.

``python tests/benchmarks/reproductions.py perplexity|temperature|names|cells [--corpus FILE...] [--write
docs/reproductions.md]``. Corpora are public and not part of the project; the page says where each is from.
``--keep DIR`` keeps the runs, and finished ones found there are not repeated. ``--prefix "nice -n -15"`` stands before
every training command; ``--small`` shrinks everything to seconds, which shows that it runs and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runs import DATA, celloquy, events, markdown, show, train

CELLS = ("rnn", "gru", "lstm")
PREFIXES = ("春風", "明月")
PERPLEXITY = (
    "--hidden 256 --bptt 35 --batch 32 --epochs 160 --schedule constant --weight-decay 0 --val 0 --eval-on train"
)
OPTIMIZERS = {
    "from scratch, SGD": "--kernels loop --optimizer sgd --momentum 0 --lr 100 --clip 0.01",
    "fused, Adam": "--kernels fused --optimizer adamw --lr 0.01 --clip 0.01",
}
TEMPERATURES = (0.5, 1.0, 1.5)
NAMES = "--hidden 128 --embed 32 --batch 32 --bptt 32 --dropout 0.2 --lr 3e-3 --epochs 20"
TINY = "--hidden 256 --batch 64 --bptt 128 --dropout 0.2 --lr 5e-3 --epochs 1"


@dataclass(frozen=True)
class Asked:
    """The command line: texts, where runs are kept, what stands before a training, cells, whether to shrink all."""

    corpus: list[Path]
    out: Path
    prefix: list[str]
    cells: list[str]
    small: bool

    def train(self, corpus: Path, name: str, cell: str, options: str) -> Path:
        """One training with these options, shrunk if wanted."""
        words = shlex.split(options)
        if self.small:
            words = shrunk(words)
        return train(corpus, name, cell, self.out, words, self.prefix)


def shrunk(words: list[str]) -> list[str]:
    """The same options with a tiny model and few steps."""
    small = {"--hidden": "8", "--embed": "4", "--batch": "4", "--bptt": "8"}
    words = [small.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    for end in ("--minutes", "--epochs"):
        if end in words:
            words[words.index(end) : words.index(end) + 2] = ["--steps", "8"]
    for every in ("--eval-every", "--sample-every"):
        if every in words:
            words[words.index(every) + 1] = "4"
    return words


def perplexity(asked: Asked) -> Iterator[str]:
    """The first 10,000 characters, cells from scratch with SGD and fused with Adam: training perplexity, samples."""
    text = asked.corpus[0].read_text(encoding="utf-8")[:10_000]
    corpus = asked.out / "first10000.txt"
    corpus.write_text(text, encoding="utf-8")
    rows, samples = [], []
    for cell, title, sampling in perplexity_runs(asked):
        path = asked.train(corpus, *perplexity_run(cell, title, sampling, len(text)))
        figures = [event["train_text_perplexity"] for event in events(path, "eval")]
        running = running_perplexity(path, len(text) / (32 * 35))
        rows.append([cell, title, sampling, *(f"{value:,.2f}" for value in [*figures[:3], figures[-1]]), running])
        samples.append((f"{cell}, {title}, {sampling}", events(path, "sample")[-len(PREFIXES) :]))
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["cell", "how", "sampling", "40 epochs", "80", "120", "160", "running, last epoch"]
    yield markdown(header, rows)
    for title, drawn in samples:
        shown = " · ".join(f"{line['prompt']}{line['text'][:30]}".replace("\n", " / ") for line in drawn)
        yield f"- {title}: {shown}"


def perplexity_runs(asked: Asked) -> list[tuple[str, str, str]]:
    """Cell, optimizer and way of sampling of each run: every cell on random pieces, the LSTM on sequential ones too."""
    cells = {"random": asked.cells, "sequential": [cell for cell in asked.cells if cell == "lstm"]}
    return [(cell, title, sampling) for sampling, some in cells.items() for title in OPTIMIZERS for cell in some]


def perplexity_run(cell: str, title: str, sampling: str, characters: int) -> tuple[str, str, str]:
    """Name, cell and options of one run."""
    every = 40 * characters // (32 * 35)
    options = f"{PERPLEXITY} {OPTIMIZERS[title]} --sampling {sampling} --eval-every {every} --sample-every {every}"
    prompts = " ".join(f"--prompt {prefix}" for prefix in PREFIXES)
    return f"{title.split(',')[0].replace(' ', '-')}-{sampling}", cell, f"{options} {prompts}"


def running_perplexity(path: Path, steps: float) -> str:
    """exp of the mean training loss over the last epoch's steps, as it was trained: each piece from its own state."""
    losses = [event["loss"] for event in events(path, "train")][-max(1, round(steps / 10)) :]
    return f"{math.exp(min(20.0, sum(losses) / len(losses))):,.2f}"


def temperature(asked: Asked) -> Iterator[str]:
    """The family that ships at three temperatures: how many of its words occur in the text that it learned from."""
    corpus = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in asked.corpus)
    known = set(words_of(corpus))
    samples, length = ("2", "100") if asked.small else ("20", "2000")
    rows, shown = [], []
    for cell in asked.cells:
        for degree in TEMPERATURES:
            command = ["generate", "shakespeare", "--cell", cell, "-p", "ROMEO:", "-t", str(degree), "--seed", "1"]
            out = celloquy([*command, "--samples", samples, "-n", length, "--json"])
            texts = [json.loads(line)["text"] for line in out.splitlines()]
            # the last word may be cut off
            words = [word for text in texts for word in words_of(text)[:-1]]
            real = sum(word in known for word in words)
            rows.append([cell, f"{degree:g}", f"{len(words):,}", f"{real / len(words):.1%}"])
            shown.append((f"{cell} at {degree:g}", texts[0][:160].replace("\n", " / ")))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    yield markdown(["cell", "temperature", "words drawn", "of them real"], rows)
    for title, text in shown:
        yield f"- {title}: {text}"


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; an apostrophe between letters belongs to its word."""
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", text.lower())


def names(asked: Asked) -> Iterator[str]:
    """First names a line each, as makemore learns them: loss, and how many of the names that are drawn are new."""
    found = {
        line.split()[0].lower()
        for path in asked.corpus
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    }
    shuffled = sorted(found)
    random.Random(1).shuffle(shuffled)  # the held-out tenth is of the same kind as the rest
    corpus = asked.out / "names.txt"
    corpus.write_text("\n".join(shuffled) + "\n", encoding="utf-8")
    rows = []
    for cell in asked.cells:
        path = asked.train(corpus, "names", cell, NAMES)
        best = min(event["val_loss"] for event in events(path, "eval"))
        length = "80" if asked.small else "8000"
        command = ["generate", str(path), "-p", "\n", "--no-echo", "-n", length, "-t", "1", "--seed", "1"]
        drawn = celloquy(command).split("\n")[:-1]
        new = [name for name in drawn if name and name not in found]
        few = ", ".join(dict.fromkeys(new[:10]))
        share = len(new) / max(1, len([name for name in drawn if name]))
        rows.append([cell, f"{best:.3f}", f"{share:.0%}", few])
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    yield markdown(["cell", "validation loss", "drawn names that are new", "the first of them"], rows)


def cells(asked: Asked) -> Iterator[str]:
    """Tinyshakespeare with each cell, read equally often."""
    rows, shown = [], []
    for cell in asked.cells:
        path = asked.train(asked.corpus[0], "tiny", cell, TINY)
        best = min(event["val_loss"] for event in events(path, "eval"))
        done = events(path, "done")[0]
        length = "40" if asked.small else "160"
        text = celloquy(["generate", str(path), "-p", "ROMEO:\n", "-n", length, "--seed", "1"])
        rows.append([cell, f"{best:.4f}", f"{done['tokens'] / 1e6:.1f} million"])
        shown.append((cell, text.strip().replace("\n", " / ")))
        print(" ".join(rows[-1]), file=sys.stderr, flush=True)
    yield markdown(["cell", "validation loss, nats a character", "characters read"], rows)
    for cell, text in shown:
        yield f"- {cell}: {text}"


PARTS = {"perplexity": perplexity, "temperature": temperature, "names": names, "cells": cells}
CORPORA = {"perplexity": ["tang.txt"], "cells": ["tinyshakespeare.txt"]}


def main(arguments: list[str] | None = None) -> None:
    """Run one experiment and print what the page holds of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--corpus", type=Path, nargs="+")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Put the results between their marks in this page.")
    given = parser.parse_args(arguments)
    corpus = given.corpus or [DATA / name for name in CORPORA.get(given.part, [])]
    if not corpus:
        parser.error(f"{given.part} needs --corpus; the page says where it is from")
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked(
            corpus, given.keep or Path(folder), shlex.split(given.prefix), given.cells.split(","), given.small
        )
        asked.out.mkdir(parents=True, exist_ok=True)
        text = tidy(PARTS[given.part](asked))
    show(text, given.write, given.part)


def tidy(parts: Iterator[str]) -> str:
    """The table, an empty line, and the list under it."""
    first, *rest = parts
    return first + ("\n\n" + "\n".join(rest) if rest else "")


if __name__ == "__main__":
    main()
