"""A process that has imported everything and run nothing: it forks the program under test in a blink.

Importing torch takes seconds; fifty tests that each start the program would wait minutes for it. A forked child is the
program as ``python -m celloquy`` starts it, on a terminal, with an environment and a folder of its own. Some tests
start the real command all the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import pkgutil
import socket
import sys
import termios
import traceback
from typing import Any

HEAD = 8


def send(channel: socket.socket, message: Any, *descriptors: int) -> None:
    """A JSON message, with open files."""
    data = json.dumps(message).encode()
    socket.send_fds(channel, [len(data).to_bytes(HEAD, "big")], list(descriptors))
    channel.sendall(data)


def receive(channel: socket.socket) -> tuple[Any, list[int]]:
    """The next message; (None, []) at the end."""
    head, descriptors, _, _ = socket.recv_fds(channel, HEAD, 4)
    if not head:
        return None, []
    size, data = int.from_bytes(head, "big"), b""
    while len(data) < size:
        data += channel.recv(size - len(data))
    return json.loads(data), list(descriptors)


def serve(channel: socket.socket) -> None:
    """Import, then fork whenever asked, and say what became of the children."""
    _import_all()
    send(channel, "ready")
    while True:
        request, descriptors = receive(channel)
        if request is None:
            return
        if "wait" in request:
            try:
                pid, status = os.waitpid(request["wait"], os.WNOHANG)
            except ChildProcessError:
                pid, status = request["wait"], 0
            send(channel, None if pid == 0 else os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if pid == 0:
            channel.close()
            _become(request, descriptors[0])
        os.close(descriptors[0])
        send(channel, pid)


def _import_all() -> None:
    for name in ("torch", "prompt_toolkit", "celloquy.__main__"):
        importlib.import_module(name)
    import repl

    for module in pkgutil.iter_modules(repl.__path__, "repl."):
        if not module.ispkg:
            importlib.import_module(module.name)


def _become(request: dict[str, Any], terminal: int) -> None:
    """The child: a program on its own terminal. Never returns."""
    status = 1
    try:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(terminal, descriptor)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv = ["celloquy", *request["arguments"]]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        status = _run()
    finally:
        os._exit(status)


def _run() -> int:
    from celloquy.__main__ import main

    try:
        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - the interpreter itself would print this and exit with 1
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = 120  # as the interpreter has it
    return status


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(socket.socket(fileno=int(sys.argv[1])))
