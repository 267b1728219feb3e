"""``celloquy eval --overlap``: what a checkpoint writes, compared with what it was trained on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from checkpoints.normalization import NormalizingTokenizer
from checkpoints.overlap import Overlap, overlap
from repl.batch import Job
from repl.generator import Writer

if TYPE_CHECKING:
    from checkpoints.loading import Loaded
    from plugins.registry import Registry

EACH = 1000
"""Tokens of one text: a long text is many beginnings, which is where a model that memorises recites."""


def written(loaded: Loaded, registry: Registry, length: int, sampling: Mapping[str, Any]) -> list[str]:
    """Texts of altogether ``length`` tokens, each from a fresh beginning. The seed is told on standard error."""
    writer = Writer(loaded, registry, **sampling)
    if "seed" not in sampling:
        print(f"seed {writer.seed}", file=sys.stderr, flush=True)
    counts = [EACH] * (length // EACH) + [length % EACH] * bool(length % EACH)
    texts: list[str] = []
    for count in sorted(set(counts), reverse=True):
        jobs = [Job("", sample) for sample in range(len(texts), len(texts) + counts.count(count))]
        texts += [done.text for done in writer.continuations(jobs, count, seed=writer.seed)]
    return texts


def compared(loaded: Loaded, texts: Sequence[str], corpus: str, minimum: int) -> Overlap:
    """The overlap of texts with a corpus, both as the checkpoint's tokenizer reads them."""
    tokenizer = loaded.tokenizer
    if isinstance(tokenizer, NormalizingTokenizer):
        return overlap([tokenizer.normalized(text) for text in texts], tokenizer.normalized(corpus), minimum)
    return overlap(texts, corpus, minimum)


def overlap_lines(found: Overlap) -> str:
    """The report for a person."""
    share = f"{found.share:.2%} of {found.characters:,} characters lie in passages of {found.minimum} or more"
    if not found.passages:
        return f"{share}: there is none"
    lines = [f"{share} that stand in the corpus; the longest:"]
    for passage in found.passages:
        shown = passage.text.replace("\n", "␊")
        lines.append(f"  {len(passage.text):>5} characters, line {passage.line:,}: {shown}")
    return "\n".join(lines)
