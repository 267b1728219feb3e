"""Attack everything, the slow ways included, and write what survived into ``docs/reliability.md``.

    python tests/reliability/report.py [LEDGER.json ...]

takes about an hour, and CELLOQUY_SOAK_SECONDS (3600) more for each of the two soaks. With ledgers, which a run of the
tests leaves where ``CELLOQUY_LEDGER`` says, only the table is written, from their sums.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run_tests(ledger: Path) -> int:
    """Every test of this folder, the slow ones too; the status of pytest."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", str(HERE)]
    return subprocess.run(command, env={**os.environ, "CELLOQUY_LEDGER": str(ledger)}, check=False).returncode


def main(ledgers: list[str]) -> int:
    """Write the table; the status of the tests, 0 if none were run."""
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    from reliability_kit.page import PAGE, curve_table, curves, merged, table, with_table

    status = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(name) for name in ledgers]
        if not paths:
            paths = [Path(folder) / "ledger.json"]
            status = run_tests(paths[0])
        new, followed = table(merged(paths)), curve_table(curves(paths))
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), new, followed), encoding="utf-8")
    print(new, followed, sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
