"""How a command ends: what a person is told in one line, and the exit status that a script sees."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import click

from cells.errors import CelloquyError, UsageError
from checkpoints import launch
from repl.visible import one_line

DONE = 0
FAILED = 1
WRONG_COMMAND_LINE = 2
INTERRUPTED = 130


def run_to_exit(command: Callable[[], object], debug: bool = False) -> int:
    """Run a command and return the exit status. Whatever went wrong is one line on standard error."""
    try:
        command()
        _flush()
    except click.exceptions.Exit as leaving:
        with contextlib.suppress(OSError):  # the result was printed already; a closed pipe does not matter any more
            _flush()
        return leaving.exit_code
    except BrokenPipeError:
        return _closed_pipe()
    except (KeyboardInterrupt, EOFError, click.Abort) as error:
        return _tell(error, "interrupted", INTERRUPTED, debug)
    except click.ClickException as error:
        return _tell(error, f"error: {_usage(error)}", WRONG_COMMAND_LINE, debug)
    except UsageError as error:
        return _tell(error, f"error: {error}", WRONG_COMMAND_LINE, debug)
    except CelloquyError as error:
        status = int(getattr(error, "exit_status", FAILED))
        return _tell(error, str(error) if status > 128 else f"error: {error}", status, debug)
    except MemoryError as error:
        return _tell(error, "error: there is not enough memory for this", FAILED, debug)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _closed_pipe()
        return _tell(error, f"error: {_system(error)}", FAILED, debug)
    except Exception as error:  # noqa: BLE001 - the last fence: a person never sees a traceback unasked
        message = f"error: {type(error).__name__}: {error}; this is a fault in the program, --debug shows where"
        return _tell(error, message, FAILED, debug)
    return DONE


def leave(status: int) -> NoReturn:
    """End this process with an exit status.

    One that has exchanged something with others ends at once, when what it wrote is out: gloo's threads may outlive the
    exchange, and the process was seen to abort while Python took itself apart ("terminate called").
    """
    if not launch.exchanged:
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _tell(error: BaseException, message: str, status: int, debug: bool) -> int:
    try:
        _flush()
    except (OSError, ValueError):
        _give_up_output()
    if getattr(error, "untold", False):  # another process of the run says it
        return status
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        sys.stderr.write(one_line(message) + "\n")
        sys.stderr.flush()
    return status


def _usage(error: click.ClickException) -> str:
    """click's message, and where to read more."""
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; {context.command_path} --help shows what there is" if context is not None else message


def _system(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _closed_pipe() -> int:
    """Whoever read the output has gone: end quietly."""
    _give_up_output()
    return DONE


def _give_up_output() -> None:
    """Let what cannot be written go, so that the interpreter does not try and complain once more at its exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
