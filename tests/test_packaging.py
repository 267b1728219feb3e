"""What is built and installed: the checkpoints and no tests, under 40 MB, and nothing left after it is removed.

The structure is looked at by default; building, installing and removing takes minutes where much is going on (-m slow).
On this project's machines only Python 3.11 has a wheel of torch without CUDA, which the environments here borrow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 40e6
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = ("celloquy", "repl", "checkpoints", "plugins", "cells")


def test_what_ships_is_below_the_limit() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints" / "shipped").glob("*.safetensors")]
    assert 0 < sum(sizes) < LARGEST - 5e6  # weights hardly compress


def test_tests_and_scripts_of_the_project_are_left_out() -> None:
    assert "prune tests" in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    assert {name.partition(".")[0] for name in SETTINGS["tool"]["setuptools"]["packages"]} == set(ROOMS)


def test_every_module_that_an_entry_point_names_exists() -> None:
    entries = [*SETTINGS["project"]["scripts"].values()]
    for group in SETTINGS["project"].get("entry-points", {}).values():
        entries += group.values()
    modules = [entry.partition(":")[0].replace(".", "/") for entry in entries]
    assert [name for name in modules if not (ROOT / f"{name}.py").is_file()] == []


# ---------------------------------------------------------------------- built and installed


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from the sdist."""
    out = tmp_path_factory.mktemp("built")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        target = out / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    _call("import setuptools.build_meta as b; b.build_sdist('..')", out / "tree")
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (source,) = (out / "unpacked").iterdir()
    _call("import setuptools.build_meta as b; b.build_wheel('../..')", source)
    return out


def _call(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, env=_environment())


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("CELLOQUY_", "PYTHON"))}


@pytest.fixture(scope="module")
def make_environment() -> Callable[[Path], Path]:
    """A fresh virtual environment that borrows every package here but Celloquy; returns its interpreter."""

    def make(folder: Path) -> Path:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        python = folder / "bin" / "python"
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
        lent = folder / "lent"
        lent.mkdir()
        import sysconfig

        for one in Path(sysconfig.get_path("purelib")).iterdir():
            if not one.name.lower().startswith(("celloquy", "__editable__", "pip", "_virtualenv", "distutils-")):
                (lent / one.name).symlink_to(one)
        (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
        return python

    return make


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_sdist_holds_the_checkpoints_and_no_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "docs/plugins.md", "pyproject.toml"} <= names
    assert {f"checkpoints/shipped/shakespeare.{cell}.safetensors" for cell in ("rnn", "lstm", "gru")} <= names
    assert [name for name in names if "test" in name.split("/")[0] or name.startswith(".ci")] == []
    assert sdist.stat().st_size < LARGEST


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    here = {
        path.relative_to(built / "tree").as_posix()
        for room in ROOMS
        for path in (built / "tree" / room).rglob("*")
        if path.is_file()
    }
    assert {name for name in names if ".dist-info/" not in name} == here
    assert wheel.stat().st_size < LARGEST


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_installs_speaks_and_leaves_nothing_behind(
    built: Path, tmp_path: Path, make_environment: Callable[[Path], Path]
) -> None:
    python = make_environment(tmp_path / "environment")
    (wheel,) = built.glob("*.whl")

    def files() -> set[str]:
        """What is in the environment, without compiled files of others."""
        found = (tmp_path / "environment").rglob("*")
        return {str(path) for path in found if "lent" not in path.parts and "__pycache__" not in path.parts}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=tmp_path,
            env={**_environment(), "CELLOQUY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = files()
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "celloquy"
    program.symlink_to(python.parent / "celloquy")  # as pipx does: a link from a folder on the path
    version = SETTINGS["project"]["version"]
    assert run(program, "--version").startswith(f"celloquy {version} (")
    assert "environment" in run(python, "-c", "import repl; print(repl.__file__)")
    assert "shakespeare.gru" in run(program, "list")
    assert run(program, "generate", "-p", "ROMEO:", "-n", "20", "--seed", "1").startswith("ROMEO:")
    run(python, "-m", "pip", "uninstall", "--yes", "--disable-pip-version-check", "celloquy")
    assert files() == before
    assert not (tmp_path / "home").exists()
