"""Children that train and can be killed at any moment, forked from one process that has imported everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


@dataclass
class Child:
    """A forked process that does one job; its standard error is in a file."""

    nursery: Nursery
    pid: int
    stderr: Path

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal. One that is already dead does not mind: nobody has waited for it yet."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status; minus the signal that ended it."""
        return int(self.nursery.ask({"wait": self.pid})["status"])

    @property
    def said(self) -> str:
        """What it has written to standard error so far."""
        return self.stderr.read_text(encoding="utf-8") if self.stderr.exists() else ""


class Nursery:
    """Forks children for jobs (see ``jobs.py``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CELLOQUY_LOAD_PLUGINS": ""}
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{HERE.parent}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reliability_kit.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a line, read a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, job: dict[str, Any]) -> Child:
        """Fork a child for this job."""
        self.count += 1
        stderr = self.folder / f"stderr.{self.count}"
        return Child(self, int(self.ask({**job, "stderr": str(stderr)})["pid"]), stderr)

    def run(self, job: dict[str, Any]) -> tuple[int, str]:
        """Do a job to its end: exit status and standard error."""
        child = self.start(job)
        return child.wait(), child.said

    def celloquy(
        self, folder: Path, *arguments: str | bytes | Path, stdin: bytes = b"", **env: str
    ) -> tuple[int, bytes, str]:
        """Run the command line in ``folder``: exit status, standard output, standard error."""
        self.count += 1
        files = [self.folder / f"stdin.{self.count}", self.folder / f"stdout.{self.count}"]
        files[0].write_bytes(stdin)
        argv = [os.fsencode(argument).hex() for argument in arguments]
        env = {"CELLOQUY_HOME": str(folder / "home"), **env}
        job = {"folder": str(folder), "argv": argv, "env": env, "files": [str(file) for file in files]}
        status, said = self.run(job)
        return status, files[1].read_bytes(), said

    def close(self) -> None:
        """End the parent of the children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=300)
        self._process.stdout.close()
