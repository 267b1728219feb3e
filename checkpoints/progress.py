"""What a person sees of a training run, on standard error: a live display on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import unicodedata
from typing import Any, TextIO, cast

CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that are not shown but do something: C0, C1, formats, surrogates, separators."""

JOINERS = "\u00ad\u200b\u200c\u200d\u2060"
"""Formats that words and emoji are made with; they move nothing."""

PLAIN_SECONDS = 10.0
"""Seconds between the plain lines about training; validations always have theirs."""


class LastingStream:
    """A stream for a person who may have gone: what cannot be written any more is left out, and a run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if there is still somebody to read it or room for it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As :meth:`write`."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Reporter:
    """Plain lines. ``quiet`` says nothing at all but notes."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = cast(TextIO, LastingStream(stream if stream is not None else sys.stderr))
        self.quiet = quiet
        self._said = float("-inf")

    def start(self, name: str, description: str) -> None:
        """A run begins."""
        self._said = time.monotonic()
        self._tell(f"{name}: {description}")

    def train(self, record: dict[str, Any], fraction: float, left: float | None) -> None:
        """A line of the log about training; ``fraction`` of the run is over and ``left`` seconds remain, if known."""
        if time.monotonic() - self._said >= PLAIN_SECONDS:
            self._said = time.monotonic()
            self._tell(f"  {train_line(record)}, {fraction:.0%} done{time_left(left)}")

    def eval(self, record: dict[str, Any], best: bool) -> None:
        """A validation."""
        self._said = time.monotonic()
        self._tell(f"  {eval_line(record, best)}")

    def sample(self, record: dict[str, Any]) -> None:
        """A sample text."""
        self._tell("  sample: " + harmless(record["prompt"] + record["text"]).replace("\n", "\n  | "))

    def note(self, text: str) -> None:
        """Something the person should know."""
        self.stream.write(harmless(text) + "\n")
        self.stream.flush()

    def close(self) -> None:
        """The run is over."""

    def _tell(self, text: str) -> None:
        if not self.quiet:
            self.note(text)


class Silence(Reporter):
    """Nothing at all: for a process that is not the first of its run."""

    def note(self, text: str) -> None:
        """Said by the first process."""


class LiveReporter(Reporter):
    """A display that is redrawn in place: loss, validation loss, tokens a second, time left and the last sample."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=self.stream, highlight=False, markup=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawn = 0.0
        self._lines = {"train": "", "eval": "", "sample": ""}
        self._bar = 0.0

    def start(self, name: str, description: str) -> None:
        self._console.print(harmless(f"{name}: {description}"))
        self._lines = {"train": "measuring …", "eval": "", "sample": ""}
        self._bar = 0.0
        self._live.start()
        self._draw()

    def train(self, record: dict[str, Any], fraction: float, left: float | None) -> None:
        self._bar = fraction
        self._lines["train"] = f"{fraction:4.0%}  {train_line(record)}{time_left(left)}"
        if time.monotonic() - self._drawn > 0.1:
            self._draw()

    def eval(self, record: dict[str, Any], best: bool) -> None:
        self._lines["eval"] = eval_line(record, best)
        self._draw()

    def sample(self, record: dict[str, Any]) -> None:
        self._lines["sample"] = harmless(record["prompt"] + record["text"])
        self._draw()

    def note(self, text: str) -> None:
        self._console.print(harmless(text))

    def close(self) -> None:
        self._live.stop()
        if self._lines["eval"]:
            self._console.print("  " + self._lines["eval"])
            self._lines["eval"] = ""

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        self._drawn = time.monotonic()
        parts: list[Any] = [ProgressBar(total=1.0, completed=self._bar, width=40), Text()]  # a bar ends no line itself
        parts += [Text("  " + text) for key, text in self._lines.items() if text and key != "sample"]
        if self._lines["sample"]:
            parts.append(Text("\n".join(self._lines["sample"].splitlines()[:8]), style="dim"))
        self._live.update(Group(*parts), refresh=True)


def make_reporter() -> Reporter:
    """The live display if standard error is a terminal that can redraw, plain lines otherwise."""
    return LiveReporter() if sys.stderr.isatty() and can_redraw() else Reporter()


def can_redraw() -> bool:
    """Whether the terminal can move its cursor."""
    return os.environ.get("TERM") not in (None, "dumb")


def train_line(record: dict[str, Any]) -> str:
    """One line about training."""
    return f"step {record['step']}  loss {record['loss']:.3f}  {record['tokens_per_second']:,.0f} tokens/s"


def eval_line(record: dict[str, Any], best: bool) -> str:
    """One line about an evaluation: of the validation part, of the training text, or of both."""
    said = []
    if "val_accuracy" in record:
        said.append(f"validation loss {record['val_loss']:.4f}, accuracy {record['val_accuracy']:.4f}")
    elif "val_loss" in record:
        bits = record["val_bits_per_character"]
        said.append(f"validation loss {record['val_loss']:.4f} ({bits:.3f} bits a character)")
    if "train_text_loss" in record:
        loss, perplexity = record["train_text_loss"], record["train_text_perplexity"]
        said.append(f"training text {loss:.4f} (perplexity {perplexity:.3f})")
    mark = ", the best so far" if best else ""
    return f"step {record['step']}  {', '.join(said)}{mark}"


def time_left(seconds: float | None) -> str:
    """The time left in words, or nothing if it is not known."""
    return "" if seconds is None else f"  {clock(seconds)} left"


def clock(seconds: float) -> str:
    """``0:42``; ``1:02:03``."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def harmless(text: str) -> str:
    """The text with what a terminal would obey made visible: controls, changes of direction; line breaks, tabs stay."""
    return "".join(c if c in "\n\t" or not _is_control(c) else ascii(c)[1:-1] for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROLS and character not in JOINERS
