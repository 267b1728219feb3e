"""What the killed children do: train a tiny model, with faults planted in the writing of files.

A job is a JSON object. One that loads strangers' files has ``honest`` and
``audit`` (paths). One of the command line has ``argv`` (in hexadecimal, since arguments are bytes), ``env``
and ``files`` (standard input and output). One that trains has ``folder`` (its working folder), ``train`` (options of
``checkpoints.train.train``) and ``corpus``, may have ``environ`` (further variables), and may have faults:

- ``save_seconds`` between two saves, ``save_always`` after every step;
- ``pause``: seconds that every step lasts longer;
- ``hold_at``: after this step the run makes the file ``held`` and waits until a signal has come or there is a file
  ``go``; "end": instead before whatever comes after the last step;
- ``slow_sync``: [n, seconds] that bringing the n-th file after the signal onto the disk lasts longer;
- ``die_at``: the process kills itself as it comes to the n-th place where a file is touched;
- ``refuse_at`` with ``errno``: the n-th such place is refused by the operating system, and every later one where
  ``for_good``; ``count``: how many places there were is written to ``places.txt`` at the end;
- ``clock``: seconds by which the wall clock jumps back at every look;
- ``unread``: standard error is a "closed pipe" or a "full disk", or SIGHUP is "ignored";
- ``poison_at``: the weights become NaN after these steps, once each; ``poison_always``: after every step.
"""

from __future__ import annotations

import atexit
import builtins
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ERROR, DONE = 1, 0


def run(job: dict[str, Any]) -> int:
    """Do the job; the exit status. Failures that are not expected raise."""
    if "audit" in job:
        return _audit(job)
    return _command_line(job) if "argv" in job else _train(job)


HARMLESS = ("object.__", "sys._getframe", "array.__new__", "builtins.id", "gc.")


def _audit(job: dict[str, Any]) -> int:
    """Load, look at and list checkpoints, and write what the interpreter did meanwhile into ``audit.json``."""
    import checkpoints.bpe
    import checkpoints.words  # noqa: F401 - what reads a kind of tokenizer is ours, and imported when one comes
    from cells.errors import CelloquyError
    from checkpoints.finding import describe, list_checkpoints
    from checkpoints.loading import load_checkpoint

    os.chdir(job["folder"])
    os.environ["CELLOQUY_HOME"] = job["folder"]
    sys.path.insert(0, job["folder"])
    events: list[str] = []
    watching = [False]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and not event.startswith(HARMLESS):
            events.append(f"{event} {' '.join(str(argument)[:200] for argument in arguments[:2])}")

    sys.addaudithook(hook)
    for number, path in enumerate([job["honest"], *job["audit"]]):
        watching[0] = number > 0  # what the honest one needs for the first time is allowed
        for look in (load_checkpoint, describe):
            try:
                look(path)
            except CelloquyError:
                continue
        if number in (0, len(job["audit"])):
            list_checkpoints()
    watching[0] = False
    Path("audit.json").write_text(json.dumps(events), encoding="utf-8")
    return DONE


def _command_line(job: dict[str, Any]) -> int:
    """Run ``celloquy`` with the job's arguments, its standard input and output being files."""
    from repl.cli import cli

    os.chdir(job["folder"])
    os.environ.update(job["env"])
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        os.dup2(os.open(job["files"][number], flags), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - those of the parent hold its own input
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        cli.main([os.fsdecode(bytes.fromhex(argument)) for argument in job["argv"]])
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return DONE


def _train(job: dict[str, Any]) -> int:
    """Train as the command line would."""
    from cells.errors import CelloquyError
    from checkpoints.interrupt import Interrupted
    from checkpoints.progress import Reporter
    from checkpoints.train import train

    os.chdir(job["folder"])
    os.environ.update(job.get("environ", {}))
    _plant(job)
    _leave_unread(job.get("unread"))
    try:
        Path("begun").touch()
        train(job["corpus"], reporter=Reporter(sys.stderr), **job["train"])
    except CelloquyError as error:
        if not getattr(error, "untold", False):
            print(f"error: {error}", file=sys.stderr)
        return error.exit_status if isinstance(error, Interrupted) else ERROR
    except KeyboardInterrupt:
        return 130
    return DONE


def _plant(job: dict[str, Any]) -> None:
    """Plant the faults of a job in this process."""
    from checkpoints import trainer

    trainer.SAVE_SECONDS = job.get("save_seconds", 0.0)
    _note_steps(trainer.Trainer, Path(job["folder"]) / "steps.txt", job)
    if "save_always" in job:
        _save_always(trainer.Trainer)
    if "hold_at" in job:
        _hold(trainer.Trainer, job["hold_at"])
    if "slow_sync" in job:
        _slow_down_syncing(*job["slow_sync"])
    if job.get("clock"):
        _turn_back_the_clock(job["clock"])
    if "count" in job:
        places = _Places(0, lambda: None)
        atexit.register(lambda: Path("places.txt").write_text(str(-places.left), encoding="ascii"))
    if "die_at" in job:
        _Places(job["die_at"], lambda: os.kill(os.getpid(), signal.SIGKILL), half=True)
    if "refuse_at" in job:
        _Places(job["refuse_at"], _refusal(job["errno"]), for_good=job.get("for_good", False))


def _leave_unread(how: str | None) -> None:
    """Nobody reads standard error any more, or the terminal's end is ignored."""
    if how == "closed pipe":
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 2)
    elif how == "full disk":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    elif how == "ignored":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _note_steps(trainer: Any, path: Path, job: dict[str, Any]) -> None:
    """Write the number of each step that is done into a file, for the test to see what was redone."""
    step, poisoned, always = trainer._step, set(job.get("poison_at", ())), job.get("poison_always")

    def noted(self: Any) -> None:
        step(self)
        with open(path, "a", encoding="ascii") as file:
            file.write(f"{self.done.step}\n")
        if self.done.step in poisoned or always:
            poisoned.discard(self.done.step)
            for parameter in self.parameters:
                parameter.data.fill_(float("nan"))
        time.sleep(job.get("pause", 0.0))

    trainer._step = noted


def _save_always(trainer: Any) -> None:
    """However long a save takes, the next one comes with the next step."""
    save = trainer.save

    def saved(self: Any, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        self._saved, self._save_took = -1.0, 0.0

    trainer.save = saved


def _hold(trainer: Any, place: int | str) -> None:
    """Let the run wait at a place, so that what is done to it there does not depend on who is faster."""
    signals = _signals_seen()
    step, finish = trainer._step, trainer._finish

    def hold() -> None:
        Path("held").touch()
        while not signals and not Path("go").exists():
            time.sleep(0.002)

    def held_step(self: Any) -> None:
        step(self)
        if self.done.step == place:
            hold()

    def held_finish(self: Any) -> None:
        if place == "end":
            hold()
        finish(self)

    trainer._step, trainer._finish = held_step, held_finish


def _signals_seen() -> list[int]:
    """The signals that the program has taken notice of, from now on."""
    from checkpoints.interrupt import SignalWatch

    remember, seen = SignalWatch._remember, list[int]()

    def noted(self: Any, number: int, frame: Any) -> None:
        remember(self, number, frame)
        seen.append(number)

    SignalWatch._remember = noted  # type: ignore[method-assign]
    return seen


def _refusal(number: int) -> Any:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    return refuse


class _Places:
    """Counts the places where files are made, written, synced, renamed or removed, and acts at the n-th."""

    def __init__(self, place: int, act: Any, *, half: bool = False, for_good: bool = False) -> None:
        from checkpoints import files, runlog

        self.left = place
        self.act = act
        self.half = half
        self.for_good = for_good
        for name in ("fsync", "replace", "unlink", "link"):
            setattr(os, name, self._counted(getattr(os, name)))
        files.open = runlog.open = self._open  # type: ignore[attr-defined]

    def come(self) -> bool:
        """Count a place; whether it is the one."""
        self.left -= 1
        return self.left == 0 or (self.for_good and self.left < 0)

    def _counted(self, function: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.come():
                self.act()
            return function(*args, **kwargs)

        return counted

    def _open(self, path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = builtins.open(path, mode, *args, **kwargs)  # noqa: SIM115
        return file if mode == "rb" else _Watched(file, self)


class _Watched:
    """A file whose writing can fail, or end the process, half way."""

    def __init__(self, file: Any, places: _Places) -> None:
        self._file = file
        self._places = places

    def write(self, data: bytes) -> int:
        if self._places.come():
            if self._places.half:
                self._file.write(data[: len(data) // 2])
                self._file.flush()
            self._places.act()
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def _slow_down_syncing(number: int, seconds: float) -> None:
    signals, sync, count = _signals_seen(), os.fsync, [0]

    def slow(descriptor: int) -> None:
        count[0] += bool(signals)
        if count[0] == number:
            Path("syncing").touch()
            end = time.monotonic() + seconds
            while time.monotonic() < end:  # one long sleep would not notice a signal that comes just before it
                time.sleep(0.02)
        sync(descriptor)

    os.fsync = slow


def _turn_back_the_clock(seconds: float) -> None:
    """Every look at the wall clock finds it earlier than the look before."""
    now, looks = time.time, [0]

    def earlier() -> float:
        looks[0] += 1
        return now() - seconds * looks[0]

    time.time = earlier


def main() -> None:
    """Serve jobs: for each line of standard input fork a child, and tell its process id."""
    import torch._dynamo  # noqa: F401 - torch's optimizers import it late, which takes a second of every child's time

    import checkpoints.session
    import checkpoints.trainer  # noqa: F401 - the children have everything imported
    import repl.cli
    import repl.generation
    import repl.generator  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)
            continue
        child = os.fork()
        if child == 0:
            _child(request)
        print(json.dumps({"pid": child}), flush=True)


def _child(job: dict[str, Any]) -> None:
    """In the child: standard error into the job's file, then the job; never returns."""
    status = 99
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so do theirs
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the same under nohup
    try:
        stderr = os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stderr, 2)
        status = run(job)
    finally:
        if status == 99:
            import traceback

            traceback.print_exc()
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
