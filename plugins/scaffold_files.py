"""The files of a new plugin project. ``$name``, ``$package``, ``$class_name`` and ``$distribution`` are filled in."""

from __future__ import annotations

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "$distribution"
version = "0.1.0"
description = "The recurrent cell $name for Celloquy."
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["celloquy"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.celloquy]
$name = "$package"

[tool.setuptools]
packages = ["$package"]
""",
    "$package/__init__.py": '''\
"""The recurrent cell $name for Celloquy. Nothing here imports torch: the cell is loaded when it is used."""

from celloquy import hookimpl


@hookimpl
def register_cells(register):
    register("$name", "$package.cell:$class_name", summary="what $name is, in a few words")
''',
    "$package/cell.py": '''\
"""The cell. Replace the equations by your own; `celloquy plugins check $name` says where they go wrong."""

from torch import sigmoid, tanh

from celloquy import Cell


class $class_name(Cell):
    """f = sigmoid(z_f); h' = f h + (1 - f) tanh(z_g), with z = W x + R h + b. (Author, year.)"""

    input = "fg"               # the gates fed by W x + b
    recurrent = {"h": "fg"}    # a matrix on the state -> the gates it feeds
    state = {"h": 0.0}         # what is remembered -> its initial value; the first is the output
    bias = {"f": 1.0}          # gates whose bias does not start at 0

    def step(self, x, s, R, p):
        z = x + R.h(s.h)
        f = sigmoid(z.f)
        return {"h": f * s.h + (1 - f) * tanh(z.g)}
''',
    "tests/test_$package.py": '''\
"""The conformance kit, one check a test."""

import pytest
from celloquy import conformance_checks

from $package.cell import $class_name


@pytest.mark.parametrize("check", conformance_checks($class_name), ids=str)
def test_${identifier}_conforms(check):
    check()
''',
    "README.md": """\
# $distribution

The recurrent cell `$name` for Celloquy.

    pip install -e .
    celloquy plugins check $name
    celloquy train corpus.txt --name mine --cell $name,lstm
    celloquy repl mine

The equations are in `$package/cell.py`. `pip install -e '.[test]'` and `pytest` run the same checks as `plugins check`.
""",
    ".gitignore": """\
__pycache__/
*.egg-info/
build/
dist/
""",
}
