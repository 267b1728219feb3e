"""Where a model is lost: begun without a past at many places of a text, does it find into it? Prints a table.

Run it by name: ``python tests/benchmarks/beginnings.py TEXT NAME…`` with a text that the checkpoints have not seen. A
place counts as lost where characters 300 to 600 after it cost twice what they cost at the median place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from runs import markdown
from torch.nn import functional as F

from checkpoints.loading import load_checkpoint

PLACES, FIRST, LATE, LENGTH = 256, 50, 300, 600


@torch.no_grad()
def losses(name: str, text: str) -> torch.Tensor:
    """Nats of each token [LENGTH, PLACES] after each place."""
    loaded = load_checkpoint(name)
    tokens = torch.from_numpy(loaded.tokenizer.encode_array(text)).long()
    apart = (len(tokens) - LENGTH - 1) // PLACES
    rows = torch.stack([tokens[place * apart :][: LENGTH + 1] for place in range(PLACES)], 1)
    logits, _ = loaded.model(rows[:-1], loaded.model.initial_state(PLACES))
    found = F.cross_entropy(logits.flatten(0, 1), rows[1:].flatten(), reduction="none")
    return found.view(LENGTH, PLACES)


def judged(found: torch.Tensor) -> list[str]:
    """What the table says of these losses [LENGTH, places]."""
    late = found[LATE:].mean(0)
    lost = int((late > 2 * late.median()).sum())
    return [f"{lost} of {len(late)}", f"{found[:FIRST].mean():.2f}", f"{late.median():.2f}"]


def main(arguments: list[str] | None = None) -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    asked = parser.parse_args(arguments)
    text = asked.text.read_text(encoding="utf-8")
    rows = [[name, *judged(losses(name, text))] for name in asked.names]
    print(markdown(["checkpoint", "lost", f"first {FIRST}, nats", f"after {LATE}, median"], rows))


if __name__ == "__main__":
    main()
