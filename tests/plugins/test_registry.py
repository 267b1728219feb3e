"""Plugins load from three places; names belong to the first; options are checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from plugins.hookspecs import hookimpl
from plugins.registry import default_registry, load_plugins, set_default_registry


def test_three_cells_come_in_by_the_hook_of_everybody() -> None:
    registry = load_plugins()
    assert list(registry.cells)[:3] == ["rnn", "lstm", "gru"]
    assert registry.failures == []
    assert registry.plugins[0].cells[:3] == ["rnn", "lstm", "gru"]


def test_listing_plugins_imports_no_torch() -> None:
    code = "import sys; from plugins.registry import load_plugins; load_plugins(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_file_brings_its_cell_with_a_summary_from_the_docstring(write_file: Any, good_plugin: str) -> None:
    registry = load_plugins([write_file("mine.py", good_plugin)])
    assert registry.failures == []
    entry = registry.cells["swirl"]
    assert (entry.summary, entry.distribution) == ("A swirl.", "mine.py")
    assert registry.create_cell("swirl").label == "swirl (mine.py)"


def test_one_file_given_twice_is_loaded_once(write_file: Any, good_plugin: str) -> None:
    path = write_file("mine.py", good_plugin)
    registry = load_plugins([path, str(path)])
    assert registry.failures == []
    assert [info.distribution for info in registry.plugins].count("mine.py") == 1


class TestInstalled:
    """CELLOQUY_LOAD_PLUGINS: unset, a list, empty."""

    @pytest.fixture(autouse=True)
    def _two(self, install: Any, good_plugin: str) -> None:
        install("celloquy-swirl", "1.2", good_plugin, entry="swirl_entry")
        install("celloquy-other", "0.3", good_plugin.replace("swirl", "other"))

    def test_unset_loads_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CELLOQUY_LOAD_PLUGINS")
        registry = load_plugins()
        assert {"swirl", "other"} <= set(registry.cells)
        entry = registry.cells["swirl"]
        assert (entry.distribution, entry.distribution_version) == ("celloquy-swirl", "1.2")
        assert registry.create_cell("swirl").label == "swirl (celloquy-swirl 1.2)"

    @pytest.mark.parametrize("value", ["celloquy-swirl", "Celloquy_Swirl", "swirl_entry", " swirl-entry ,"])
    def test_list_loads_only_those(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", value)
        registry = load_plugins()
        assert "swirl" in registry.cells
        assert "other" not in registry.cells
        assert registry.failures == []

    def test_empty_loads_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")
        assert {"swirl", "other"}.isdisjoint(load_plugins().cells)

    def test_listed_but_not_installed_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "celloquy-other,celloquy-gone")
        registry = load_plugins()
        assert "other" in registry.cells
        assert [str(failure) for failure in registry.failures] == [
            "plugin celloquy-gone: CELLOQUY_LOAD_PLUGINS names it, but no installed distribution offers it to Celloquy"
        ]


def test_unknown_cell_lists_the_ones_there_are() -> None:
    with pytest.raises(CelloquyError, match="there is no cell 'lstn'; there are: rnn, lstm, gru"):
        load_plugins().cell_class("lstn")


@pytest.mark.parametrize(
    ("given", "kept"), [({}, "tanh"), ({"activation": "relu"}, "relu"), ({"activation": "tanh"}, "tanh")]
)
def test_options_reach_the_cell(given: dict[str, Any], kept: str) -> None:
    assert load_plugins().create_cell("rnn", given).options == {"activation": kept}


@pytest.mark.parametrize(
    "given", [{"activation": "sine"}, {"activation": 3}, {"activation": None}, {"size": 1}, {"self": 1}]
)
def test_wrong_option_is_a_usage_error_that_names_the_cell(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^cell rnn: ") as caught:
        load_plugins().create_cell("rnn", given)
    assert "\n" not in str(caught.value)


class Optioned(Cell):
    """A cell with one option of each kind."""

    input = "h"

    def __init__(self, rate: float = 0.5, steps: int = 2, sign: bool = False, name: str = "a", any: Any = None) -> None:
        if rate < 0:
            raise UsageError(f"rate must be at least 0, not {rate}")

    def step(self, x: Any, s: Any, R: Any, p: Any) -> Any:
        """Nothing recurrent."""
        return {"h": x.h}


class OptionedPlugin:
    """A plugin may be any object with hooks."""

    @hookimpl
    def register_cells(self, register: Any) -> None:
        """One cell."""
        register("optioned", Optioned)


def test_option_given_as_text_takes_the_type_of_its_default() -> None:
    registry = load_plugins(builtin=[OptionedPlugin()])
    cell = registry.create_cell("optioned", {"rate": "0.25", "steps": "3", "sign": "on", "name": "1", "any": "x"})
    assert cell.options == {"rate": 0.25, "steps": 3, "sign": True, "name": "1", "any": "x"}


@pytest.mark.parametrize("given", [{"rate": "fast"}, {"steps": "1.5"}, {"sign": "perhaps"}, {"rate": "-1"}])
def test_option_text_that_does_not_fit_is_a_usage_error(given: dict[str, str]) -> None:
    registry = load_plugins(builtin=[OptionedPlugin()])
    with pytest.raises(UsageError, match=r"^cell optioned: "):
        registry.create_cell("optioned", given)


def test_two_cells_of_one_class_share_no_options() -> None:
    registry = load_plugins()
    relu = registry.create_cell("rnn", {"activation": "relu"})
    registry.create_cell("rnn")
    assert relu.options == {"activation": "relu"}


def test_default_registry_is_built_once_and_takes_late_builtins() -> None:
    set_default_registry(None)
    try:
        plugin = OptionedPlugin()
        first = default_registry()
        assert "optioned" not in first.cells
        assert default_registry(builtin=[plugin]) is first
        assert default_registry(builtin=[plugin]).failures == []
        assert "optioned" in first.cells
    finally:
        set_default_registry(None)
