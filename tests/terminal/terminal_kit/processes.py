"""Two ways to have the program on a pseudo-terminal: as the real command, and forked from a process that is warm."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from terminal_kit import zygote

ON_ITS_OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Process(Protocol):
    """A program on a terminal: ``fd`` is the other end of it."""

    fd: int
    pid: int

    def status(self) -> int | None:
        """Its exit status, None while it runs; a signal's is minus its number."""


def open_terminal(columns: int, rows: int) -> tuple[int, int]:
    """Both ends of a new pseudo-terminal."""
    ours, theirs = os.openpty()
    set_size(ours, columns, rows)
    return ours, theirs


def set_size(fd: int, columns: int, rows: int) -> None:
    """Give a terminal a size; who runs on it is told."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class RealProcess:
    """``python -m celloquy`` as a person starts it; or a ``shell`` in which it can be started."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        columns: int,
        rows: int,
        shell: Sequence[str] = (),
    ) -> None:
        self.fd, theirs = open_terminal(columns, rows)
        script = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        program = [shutil.which(shell[0]) or shell[0], *shell[1:]] if shell else []
        command = [sys.executable, "-c", script, *(program or [sys.executable, "-m", "celloquy", *arguments])]
        self._process = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.pid = self._process.pid

    def status(self) -> int | None:
        """See :class:`Process`."""
        return self._process.poll()


class ForkedProcess:
    """The same program, forked."""

    def __init__(
        self, nest: Nest, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, columns: int, rows: int
    ) -> None:
        self.fd, theirs = open_terminal(columns, rows)
        self._nest = nest
        self._status: int | None = None
        self.pid = int(nest.ask({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}, theirs))
        os.close(theirs)

    def status(self) -> int | None:
        """See :class:`Process`."""
        if self._status is None:
            self._status = self._nest.ask({"wait": self.pid})
        return self._status


class Nest:
    """The warm process that is forked from; started when it is first needed."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def ask(self, request: object, *descriptors: int) -> int:
        """Send a request; the answer."""
        if self._channel is None:
            self._start()
        assert self._channel is not None
        zygote.send(self._channel, request, *descriptors)
        answer, _ = zygote.receive(self._channel)
        return answer  # type: ignore[no-any-return]

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, zygote.__file__, str(theirs.fileno())], env=self._env, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        ready, _ = zygote.receive(self._channel)
        assert ready == "ready"

    def close(self) -> None:
        """End the warm process."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()  # it has nothing to finish, and an interpreter takes its time
            self._process.wait()
