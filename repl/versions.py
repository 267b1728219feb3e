"""``celloquy --version``: the program, the Python it runs on, and the libraries it is built on. No torch."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "torch",
    "numpy",
    "safetensors",
    "click",
    "prompt_toolkit",
    "rich",
    "pluggy",
    "platformdirs",
    "tokenizers",
    "interegular",
    "wcwidth",
)
"""What the program is built on; a test holds this to ``pyproject.toml``."""

OPTIONAL = ("pillow", "onnx", "onnxruntime", "llm")
"""Told of where they are installed."""


def version_lines() -> list[str]:
    """``celloquy 0.1.0 (torch 2.13.0, Python 3.11.2)``, then a line for each library."""
    found = {name: _version(name) for name in ("celloquy", *LIBRARIES, *OPTIONAL)}
    python = ".".join(map(str, sys.version_info[:3]))
    first = f"celloquy {_told(found.pop('celloquy'))} (torch {_told(found['torch'])}, Python {python})"
    width = max(map(len, found))
    rest = [
        f"  {name:<{width}}  {_told(value)}" for name, value in found.items() if value is not None or name in LIBRARIES
    ]
    return [first, *rest]


def program_version() -> str:
    """The program's version; ``(not installed as a package)`` when it runs from a source tree."""
    return _told(_version("celloquy"))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _told(value: str | None) -> str:
    return "(not installed as a package)" if value is None else value
