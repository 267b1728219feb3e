"""What every test relies on."""

from __future__ import annotations

import io
import signal
from typing import Any

import pytest
from hypothesis import settings

# An example's time says how busy the machine is, not whether the program is right.
settings.register_profile("any machine", deadline=None, max_examples=80)
settings.load_profile("any machine")


@pytest.fixture
def one_thread_and_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One thread of torch, and an empty ``$CELLOQUY_HOME``."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def messages() -> io.StringIO:
    """What the runs of a test say."""
    return io.StringIO()


@pytest.fixture
def stopper() -> Any:
    """A class: ``stopper(30)`` is a reporter that sends this process Ctrl-C when the log is at step 30."""
    from checkpoints.progress import Reporter

    class Stopper(Reporter):
        def __init__(self, step: int, number: int = signal.SIGINT) -> None:
            super().__init__(io.StringIO())
            self.step, self.number = step, number

        def train(self, record: dict[str, Any], fraction: float, left: float | None) -> None:
            if record["step"] == self.step:
                signal.raise_signal(self.number)  # to a whole process it may come later, and two as one

    return Stopper
