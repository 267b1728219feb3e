"""A fuzzer guided by coverage: inputs that reach lines which none before reached are kept and changed further.

    python tests/reliability/fuzz.py TARGET [--seconds 60] [--seed 1]

TARGET is header, transcript, recipe, commands or tokenizers. An input that fails is written to ``seeds``, where the
tests find it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

WATCHED = tuple(f"{ROOT / package}{os.sep}" for package in ("checkpoints", "repl", "cells", "plugins"))


class Coverage:
    """Which pairs of successive lines of Celloquy's own code have been run."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, int]] = set()
        self.now: set[tuple[str, int, int]] = set()

    def run(self, call: Any, data: bytes) -> bool:
        """Call with data; whether that reached anything new."""
        self.now = set()
        sys.settrace(self._enter)
        try:
            call(data)
        finally:
            sys.settrace(None)
            new = not self.now <= self.seen
            self.seen |= self.now
        return new

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        last = [frame.f_lineno]

        def line(inner: FrameType, what: str, value: object) -> Any:
            if what == "line":
                self.now.add((inner.f_code.co_filename, last[0], inner.f_lineno))
                last[0] = inner.f_lineno
            return line

        return line


def main() -> int:
    """Fuzz one target for a while; 1 if something failed."""
    from reliability_kit.targets import mutate, targets
    from reliability_kit.tiny import train_here

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance, coverage, failed = random.Random(asked.seed), Coverage(), set()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ.update(CELLOQUY_HOME=place, CELLOQUY_LOAD_PLUGINS="")
        target = targets(Path(place), train_here(Path(place)))[asked.target]
        kept, tried, end = list(target.seeds), 0, time.monotonic() + asked.seconds
        for data in kept:
            coverage.run(target.run, data)
        while time.monotonic() < end:
            data = mutate(chance.choice(kept), chance, target.words, kept)
            tried += 1
            try:
                if coverage.run(target.run, data) and len(data) < 200_000:
                    kept.append(data)
            except Exception as problem:  # noqa: BLE001 - any failure is what is looked for
                last = traceback.extract_tb(problem.__traceback__)[-1]
                if (last.filename, last.lineno) not in failed:
                    failed.add((last.filename, last.lineno))
                    file = HERE / "seeds" / f"{asked.target}-{hashlib.sha256(data).hexdigest()[:12]}"
                    file.write_bytes(data)
                    print(f"{file.name}: {type(problem).__name__}: {problem} at {last.filename}:{last.lineno}")
        os.chdir(ROOT)
    print(f"{asked.target}: {tried} inputs, {len(kept)} kept for what they reach, {len(failed)} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
