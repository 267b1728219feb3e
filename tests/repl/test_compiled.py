"""Compiled steps write what the steps themselves write, and whatever goes wrong with them is one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cells.block import AT_ONCE, DecodeBlock, flat, weights
from cells.errors import CelloquyError
from cells.model import LanguageModel
from checkpoints.loading import load_checkpoint
from repl import compiled
from repl.batch import Job
from repl.compiled import CompiledBlock, fingerprint
from repl.generator import Writer
from repl.randomness import keyed_uniform, keyed_uniforms, stream_key, uniforms_from
from repl.text_model import TextModel

Make = Callable[..., Any]
COMPILER = shutil.which("g++") or shutil.which("clang++")


def interpreter(model: LanguageModel) -> compiled.Program:
    """The written-down steps without a compiler: the loop in Python, otherwise the same program."""
    block = DecodeBlock(model)
    count, states = len(weights(model)), len(flat(model.initial_state(1)))

    def program(arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        given, state, rest = arguments[:count], arguments[count : count + states], arguments[count + states :]
        token, *drawing, limit = rest
        place, tokens = torch.zeros((), dtype=torch.int64), torch.zeros(compiled.CAPACITY, dtype=torch.int64)
        nats = torch.zeros(compiled.CAPACITY, dtype=torch.float64)
        while place < limit:
            place, token, tokens, nats, *state = block._once(place, token, tokens, nats, state, drawing, given)
        return [tokens, nats, *state]

    return program


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the registry was told."""
    told: list[str] = []
    monkeypatch.setattr("plugins.registry.Registry.notice", lambda self, message: told.append(message))
    return told


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch, home: Path, notices: list[str]) -> list[str]:
    """No compiler is asked: the program is the interpreted one. The value is what the registry was told."""
    models: dict[Path, LanguageModel] = {}
    monkeypatch.setattr(compiled, "_need_compiler", lambda: None)
    monkeypatch.setattr(compiled, "_compile", lambda model, path: models.update({path: model}))
    monkeypatch.setattr(compiled, "_load", lambda path: interpreter(models[path]))
    return notices


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_same_seed_gives_the_same_text_compiled_or_not(write: Make, interpreted: list[str], cell: str) -> None:
    writer = write("tiny", cell, seed=3)
    for length in (0, 1, 255, 256, 257, 600):
        assert writer.generate("To be", length, compile=True) == writer.generate("To be", length)
    assert interpreted == []


@pytest.mark.parametrize("sizes", [{"num_layers": 2}, {"num_layers": 2, "residual": True, "norm": "layer"}])
def test_layers_residual_paths_and_norms_are_compiled_too(
    tmp_path: Path, save: Make, interpreted: list[str], sizes: dict[str, Any]
) -> None:
    writer = Writer(load_checkpoint(save(tmp_path, "deep", "gru", **sizes)), seed=1)
    assert writer.generate("a", 100, compile=True) == writer.generate("a", 100)
    assert interpreted == []


def test_every_temperature_draws_the_same_compiled_or_not(write: Make, interpreted: list[str]) -> None:
    writer = write(seed=3)
    options: list[dict[str, Any]] = [{"temperature": 0.0}, {"greedy": True}, {"temperature": 30.0}]
    for sampling in options:
        text = writer.generate("To be", 200, compile=True, **sampling)
        assert text == writer.generate("To be", 200, **sampling)
        assert "\ufffd" not in text


def test_a_continuation_says_the_same_of_itself_compiled_or_not(write: Make, interpreted: list[str]) -> None:
    writer = write("bytes", seed=5)
    jobs = [Job("ROMEO:", sample) for sample in range(3)]
    for stop in ((), ("e",)):
        plain = writer.continuations(jobs, 150, stop=stop, temperature=1.5)
        fast = writer.continuations(jobs, 150, stop=stop, temperature=1.5, compile=True)
        assert [(one.text, one.tokens, one.finish) for one in fast] == [
            (one.text, one.tokens, one.finish) for one in plain
        ]
        assert np.allclose([one.nats for one in fast], [one.nats for one in plain], atol=1e-3)


def test_a_stop_text_ends_compiled_text_too(write: Make, interpreted: list[str]) -> None:
    writer = write(seed=4)
    plain = writer.generate("a", 600)
    assert "".join(writer.stream_compiled("a", 600)) == plain
    for start in (5, 253, 256, 290):
        stop = plain[start : start + 4]
        expected = plain[: plain.index(stop)]
        assert writer.generate("a", 600, stop=(stop,), compile=True) == expected
        assert "".join(writer.stream_compiled("a", 600, stop=(stop,))) == expected


def test_a_sampler_at_work_is_named_and_the_text_written_without(write: Make, interpreted: list[str]) -> None:
    writer = write(seed=4)
    assert writer.generate("a", 50, top_p=0.8, compile=True) == writer.generate("a", 50, top_p=0.8)
    assert interpreted == ["compiled steps draw without top-p; written without --compile"]


def test_a_pattern_is_held_to_without_compiled_steps(write: Make, interpreted: list[str]) -> None:
    writer = write(seed=4)
    text = writer.generate("a", 50, regex="[abc]{9}", compile=True)
    assert text == writer.generate("a", 50, regex="[abc]{9}")
    assert interpreted == ["compiled steps draw without a pattern; written without --compile"]


def test_without_a_compiler_the_text_is_written_all_the_same(
    write: Make, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    writer = write("tiny", "rnn", seed=4)
    assert writer.generate("a", 50, compile=True) == writer.generate("a", 50)
    assert len(notices) == 1
    assert "no C++ compiler" in notices[0]


def test_a_program_that_differs_from_the_cell_is_not_used(
    write: Make, interpreted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = write(seed=4)
    right = interpreter(writer.loaded.model)
    monkeypatch.setattr(compiled, "_load", lambda path: lambda given: right([given[0] * 1.01, *given[1:]]))
    assert writer.generate("a", 50, compile=True) == writer.generate("a", 50)
    assert interpreted == ["the compiled steps of lstm differ from its own; written without --compile"]


def test_a_step_that_decides_by_the_numbers_is_told_and_runs_uncompiled(
    write: Make, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = write("tiny", "rnn", seed=4)
    step = writer.loaded.cell.step
    writer.loaded.cell.step = lambda x, s, R, p: step(x, s, R, p) if float(x.h.sum()) < 1e9 else None
    monkeypatch.setattr(compiled, "_need_compiler", lambda: None)
    assert len(writer.generate("a", 50, compile=True)) == 50
    assert len(notices) == 1
    assert "the compiler failed" in notices[0]
    assert "\n" not in notices[0]


def test_logits_that_are_no_numbers_end_as_they_do_without(write: Make, interpreted: list[str]) -> None:
    writer = write(seed=4)
    writer.compiled()
    with torch.no_grad():
        writer.loaded.model.readout.bias[3] = float("inf")
    model = TextModel(writer.loaded)
    writer._reading.model = model
    writer._blocks.known = {model: CompiledBlock(interpreter(writer.loaded.model), model)}
    assert writer.generate("a", 70, compile=True) == writer.generate("a", 70)
    with torch.no_grad():
        writer.loaded.model.readout.bias[:] = float("nan")
    model = writer._reading.model = TextModel(writer.loaded)
    writer._blocks.known = {model: CompiledBlock(interpreter(writer.loaded.model), model)}
    with pytest.raises(CelloquyError, match="not numbers"):
        writer.generate("a", 70, compile=True)


def test_programs_differ_by_what_they_depend_on_and_not_by_the_weights(save: Make, tmp_path: Path) -> None:
    def name(*arguments: Any, **sizes: Any) -> str:
        return fingerprint(load_checkpoint(save(tmp_path, *arguments, **sizes)).model)

    assert name("a", "lstm", seed=1) == name("b", "lstm", seed=2)
    names = {name("a", "lstm"), name("a", "gru"), name("a", "lstm", hidden=32), name("a", "lstm", num_layers=2)}
    assert len(names) == 4


def test_numbers_drawn_many_at_once_are_those_drawn_one_by_one() -> None:
    keys = [stream_key(seed, sample) for seed in (0, 1, 2**70) for sample in (0, 5)]
    for index in (0, 1, 10**9):
        assert keyed_uniforms(keys, index).tolist() == [keyed_uniform(key, index) for key in keys]
        assert uniforms_from(keys[3], index, 9).tolist() == [keyed_uniform(keys[3], index + n) for n in range(9)]


@pytest.mark.skipif(os.name != "posix", reason="this system has other rights")
@pytest.mark.parametrize(("place", "mode"), [("cache/compiled", 0o720), ("cache/compiled", 0o702), ("cache", 0o703)])
def test_a_program_that_others_could_have_put_there_is_not_run(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str], place: str, mode: int
) -> None:
    monkeypatch.setattr(compiled, "home", lambda: tmp_path)
    monkeypatch.setattr(compiled, "_load", lambda path: pytest.fail("it was loaded"))
    (tmp_path / "cache" / "compiled").mkdir(parents=True, mode=0o700)
    (tmp_path / place).chmod(mode)
    writer = write("tiny", "rnn", seed=3)
    assert writer.generate("To be", 20, compile=True) == writer.generate("To be", 20)
    assert f"others may write to {tmp_path / place}" in notices[0]


def test_a_link_in_the_place_of_a_program_is_made_anew(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreted: list[str]
) -> None:
    folder = compiled.cache_folder()
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    loaded: list[Path] = []
    load = compiled._load
    monkeypatch.setattr(compiled, "_load", lambda path: loaded.append(path) or load(path))
    writer = write("tiny", "rnn", seed=3)
    core = writer.loaded.model
    (tmp_path / "downloaded.pt2").write_bytes(b"a stranger's program")
    (folder / f"{fingerprint(core)}.pt2").symlink_to(tmp_path / "downloaded.pt2")
    made: list[Path] = []
    make = compiled._compile
    monkeypatch.setattr(compiled, "_compile", lambda model, path: made.append(path) or make(model, path))
    assert writer.generate("To be", 20, compile=True) == writer.generate("To be", 20)
    assert made == loaded


@pytest.mark.skipif(COMPILER is None, reason="this machine has no C++ compiler")
def test_generate_compile_prints_the_same_text_and_keeps_the_program(
    celloquy: Make, save: Make, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real compiler, once."""
    monkeypatch.setenv("CELLOQUY_HOME", str(tmp_path))
    path = str(save(tmp_path, "small", "rnn", hidden=32))
    arguments = ["generate", path, "-p", "To be", "-n", "150", "--seed", "3"]
    first = celloquy(*arguments, "--compile")
    assert first.err.startswith("compiling the steps of rnn at these sizes, once; kept in ")
    assert len(list((tmp_path / "cache" / "compiled").glob("*.pt2"))) == 1
    again = celloquy(*arguments, "--compile")
    assert again.err == ""
    assert first.out == again.out == celloquy(*arguments).out
    (tmp_path / "cache" / "compiled").glob("*.pt2").__next__().write_bytes(b"damaged")
    monkeypatch.setenv("PATH", "")
    damaged = celloquy(*arguments, "--compile")
    assert (damaged.out, "no C++ compiler" in damaged.err) == (first.out, True)


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="this machine has no C++ compiler")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_really_compiled_steps_agree_and_repeat(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str], cell: str
) -> None:
    monkeypatch.setattr(compiled, "home", lambda: tmp_path)
    writer = write("tiny", cell, seed=3)
    assert writer.compiled() is not None
    assert notices == []
    plain, fast = writer.generate("To be", 2000), writer.generate("To be", 2000, compile=True)
    assert fast[: AT_ONCE * 50] == plain[: AT_ONCE * 50]
    assert fast == writer.generate("To be", 2000, compile=True)
