"""Blocks of steps as a program of the machine's own: made by torch's compiler once for a cell and its sizes, and kept.

A program takes the weights as arguments, so every checkpoint of the same sizes uses the same one. It is used only if it
agrees with the decoder; whatever goes wrong on the way is one line, and text is written without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import platform
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cells.block import CAPACITY, DecodeBlock, example, flat, unflat, weights
from cells.errors import CelloquyError
from cells.model import LanguageModel
from cells.state import State
from checkpoints.files import file_errors
from checkpoints.finding import home
from repl.sampling import Array
from repl.text_model import OneThread, TextModel

Program = Callable[[list[Tensor]], list[Tensor]]

AGREEMENT = 1e-3
"""Largest difference from the decoder's surprises and states, over a few steps, that rounding can explain."""


class CompiledBlock:
    """The compiled steps of one model, with its weights."""

    def __init__(self, program: Program, model: TextModel) -> None:
        self._program = program
        self._weights = list(weights(model.loaded.model).values())
        self._like = model.decoder.initial_state(1)
        self._banned = torch.zeros(model.tokenizer.vocabulary_size, dtype=torch.bool)
        self._banned[list(model.banned)] = True

    def write(
        self, token: int, state: State, uniforms: Array, temperature: float, limit: int = CAPACITY
    ) -> tuple[list[int], list[float], State]:
        """The next ``limit`` tokens after ``token``, their surprises in nats, and the state before the last of them.

        ``uniforms`` [CAPACITY] are the numbers to draw by. The state counts only after a whole block.
        """
        numbers = torch.from_numpy(uniforms if temperature > 0 else np.zeros(CAPACITY))
        arguments = [*self._weights, *flat(state), torch.tensor([token]), numbers]
        arguments += [torch.tensor(temperature, dtype=torch.float64), self._banned, torch.tensor(limit)]
        with OneThread():
            tokens, nats, *after = self._program(arguments)
        return tokens[:limit].tolist(), nats[:limit].tolist(), unflat(after, self._like)


def compiled_block(model: TextModel, tell: Callable[[str], None]) -> CompiledBlock:
    """The compiled steps of a model, from the cache or made now, which ``tell`` is told of beforehand.

    CelloquyError, in one line, if there can be none: no C++ compiler, a cell that the compiler cannot follow, or a
    result that differs from the decoder's.
    """
    core = model.loaded.model
    if not isinstance(core, LanguageModel):
        raise CelloquyError("a mixture of cells is not compiled")
    if core.labels is not None:
        raise CelloquyError("a model that labels steer is not compiled")
    if model.device.type != "cpu":
        raise CelloquyError(f"steps are compiled for the CPU only, not for {model.device.type}")
    _check_folders()
    path = cache_folder() / f"{fingerprint(core)}.pt2"
    if _is_ours(path):
        with contextlib.suppress(CelloquyError):  # damaged, or of other equations after all: made anew
            made = CompiledBlock(_load(path), model)
            if _agrees(made, model):
                return made
    _need_compiler()
    tell(f"compiling the steps of {model.cell_name} at these sizes, once; kept in {path.parent}")
    _compile(core, path)
    made = CompiledBlock(_load(path), model)
    if not _agrees(made, model):
        path.unlink(missing_ok=True)
        raise CelloquyError(f"the compiled steps of {model.cell_name} differ from its own")
    return made


def cache_folder() -> Path:
    """Where compiled programs are kept: they are this machine's and this person's."""
    return home() / "cache" / "compiled"


def _check_folders() -> None:
    """CelloquyError if anybody but the person who runs this can put programs into the cache: what it holds is run."""
    if not hasattr(os, "getuid"):
        return
    compiled = cache_folder()
    group, others = stat.S_IWGRP, stat.S_IWOTH
    for folder, forbidden in ((compiled, group | others), (compiled.parent, others), (home(), others)):
        with file_errors(folder, "used"), contextlib.suppress(FileNotFoundError):  # it will be made, for this person
            status = folder.stat()
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & forbidden:
                raise CelloquyError(f"others may write to {folder}, and what the cache in it holds is run")


def _is_ours(path: Path) -> bool:
    """Whether the file is there, a file and no link, and belongs to the person who runs this: what it holds is run."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def fingerprint(model: LanguageModel) -> str:
    """What a program depends on, in a name: cell, equations, sizes, torch and the processor; not the weights."""
    cell = type(model.cell)
    parts = [cell.__qualname__, model.cell.version, sorted(model.cell.options.items()), _source(cell)]
    parts += [sorted(model.config.to_json().items()), model.readout.bias.dtype, _source(DecodeBlock)]
    capabilities = getattr(torch.cpu, "get_capabilities", torch.backends.cpu.get_cpu_capability)()
    parts += [torch.__version__, platform.machine(), platform.system(), capabilities]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _source(cell: type) -> str:
    """The text of the file that the cell's class stands in."""
    try:
        return inspect.getsource(inspect.getmodule(cell) or cell)
    except (OSError, TypeError):  # made on the way, in no file
        return ""


def _need_compiler() -> None:
    names = [os.environ.get("CXX", ""), "g++", "clang++", "cl"]
    if not any(name and shutil.which(name) for name in names):
        raise CelloquyError("there is no C++ compiler (install g++ or clang++, or name one in CXX)")


def _compile(model: LanguageModel, path: Path) -> None:
    """Make the program at ``path``; it is there whole or not at all."""
    with _torch_may_fail("the compiler failed"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            os.replace(_compile_into(model, Path(folder)), path)


@torch.no_grad()
def _compile_into(model: LanguageModel, folder: Path) -> str:
    with OneThread(), _inductor_cache():
        import torch._inductor

        program = torch.export.export(DecodeBlock(model), example(model), strict=False)
        made = torch._inductor.aoti_compile_and_package(
            program, package_path=str(folder / "program.pt2"), inductor_configs={"compile_threads": 1}
        )
    return str(made)


@contextlib.contextmanager
def _inductor_cache() -> Iterator[None]:
    """Torch's own cache of compiled pieces beside ours, unless the person has put it somewhere."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(cache_folder() / "inductor")
    try:
        yield
    finally:
        del os.environ[name]


@contextlib.contextmanager
def _torch_may_fail(what: str) -> Iterator[None]:
    """Torch's compiler fails in as many ways as it has parts; here each is one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # its exceptions have no common base, and none must end the text
        name = "" if isinstance(error, CelloquyError) else f"{type(error).__name__}: "
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise CelloquyError(f"{what}: {name}{line}"[:300]) from error


def _load(path: Path) -> Program:
    with _torch_may_fail("the compiled steps could not be loaded"):
        from torch._C import _aoti  # what torch._inductor.aoti_load_package uses, which takes a second to import

        loader: Any = _aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)
        program: Program = loader.run
        return program


def _agrees(made: CompiledBlock, model: TextModel, steps: int = 4) -> bool:
    """Whether program and decoder go the same way for a few tokens."""
    state, token = model.beginning().state, model.start
    with _torch_may_fail("the compiled steps failed"):
        tokens, nats, after = made.write(token, state, np.linspace(0.1, 0.9, CAPACITY), 1.0, steps)
    for drawn, surprise in zip(tokens, nats, strict=True):
        logits, state = model.decoder.step_one(token, state)
        expected = -logits[0].double().log_softmax(-1)
        if not 0 <= drawn < len(expected) or not abs(float(expected[drawn]) - surprise) <= AGREEMENT:
            return False
        token = drawn
    pairs: Sequence[tuple[Tensor, Tensor]] = list(zip(flat(state), flat(after), strict=True))
    return all(torch.allclose(one, other, atol=AGREEMENT, rtol=AGREEMENT) for one, other in pairs)
