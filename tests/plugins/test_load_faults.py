"""Faults of plugins while they load: one line each, naming the distribution; every other cell goes on working."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cells.errors import CelloquyError
from plugins.registry import Registry, load_plugins

HEAD = "from plugins.hookspecs import hookimpl\n"


def only_failure(registry: Registry) -> str:
    """The one failure in words; the built-in cells are there."""
    assert len(registry.failures) == 1, [str(failure) for failure in registry.failures]
    text = str(registry.failures[0])
    assert "\n" not in text
    assert registry.create_cell("lstm").label == "lstm"
    return text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('first\\nsecond')", "ValueError: first"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
        ("class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute", "Mute"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("def broken(:", "SyntaxError: "),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_whatever_is_raised_at_import_is_reported(write_file: Any, body: str, told: str) -> None:
    text = only_failure(load_plugins([write_file("bad.py", body)]))
    assert text.startswith(f"plugin bad of bad.py: {told}")


def test_keyboard_interrupt_is_the_persons_and_passes(write_file: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_plugins([write_file("bad.py", "raise KeyboardInterrupt")])


def test_installed_plugin_that_fails_is_named_with_its_version(
    install: Any, good_plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELLOQUY_LOAD_PLUGINS")
    install("celloquy-bad", "2.0", "raise SystemExit('no')")
    install("celloquy-good", "1.0", good_plugin)
    registry = load_plugins()
    assert only_failure(registry) == "plugin celloquy_bad of celloquy-bad 2.0: SystemExit: no"
    assert "swirl" in registry.cells


@pytest.mark.parametrize(
    ("file", "content"),
    [("entry_points.txt", b"\xff\xfe[celloquy"), ("entry_points.txt", b"no section = here"), ("METADATA", b"\xff\x00")],
)
def test_damaged_distribution_on_the_path_hides_no_plugin(
    install: Any, good_plugin: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, content: bytes
) -> None:
    monkeypatch.delenv("CELLOQUY_LOAD_PLUGINS")
    install("a-damaged-one", "1.0", good_plugin.replace("swirl", "damaged"))
    install("celloquy-good", "1.0", good_plugin)
    (tmp_path / "site" / "a_damaged_one-1.0.dist-info" / file).write_bytes(content)
    assert "swirl" in load_plugins().cells


def test_distribution_that_is_on_the_path_twice_counts_once(
    install: Any, good_plugin: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CELLOQUY_LOAD_PLUGINS")
    install("celloquy-good", "1.0", good_plugin)
    shutil.copytree(tmp_path / "site", tmp_path / "copy")
    monkeypatch.syspath_prepend(str(tmp_path / "copy"))
    registry = load_plugins()
    assert registry.failures == []
    assert [info.distribution for info in registry.plugins].count("celloquy-good") == 1


@pytest.mark.parametrize("name", ["there_is_none.py", "mine.txt"])
def test_file_that_is_no_plugin_is_reported(write_file: Any, tmp_path: Any, name: str) -> None:
    if name.endswith("txt"):
        write_file(name, "")
    assert name in only_failure(load_plugins([tmp_path / name]))


def test_misspelled_hook_is_named(write_file: Any) -> None:
    path = write_file("bad.py", HEAD + "@hookimpl\ndef register_cell(register): pass")
    assert "there is no hook 'register_cell'; there are: register_cells, " in only_failure(load_plugins([path]))


def test_hook_without_its_mark_is_named(write_file: Any) -> None:
    assert "register_cells lacks @hookimpl" in only_failure(
        load_plugins([write_file("bad.py", "def register_cells(register): pass")])
    )


def test_plugin_without_any_hook_is_reported(write_file: Any) -> None:
    assert "implements no hook" in only_failure(load_plugins([write_file("bad.py", "x = 1")]))


def test_hook_with_an_argument_that_there_is_not_is_reported(write_file: Any) -> None:
    path = write_file("bad.py", HEAD + "@hookimpl\ndef register_cells(registry): pass")
    assert "registry" in only_failure(load_plugins([path]))


def test_hook_that_raises_keeps_what_it_registered_before(write_file: Any, good_plugin: str) -> None:
    registry = load_plugins([write_file("bad.py", good_plugin + "    raise OSError('disk')\n")])
    assert "OSError: disk" in only_failure(registry)
    assert "swirl" in registry.cells


def test_two_plugins_with_one_cell_name_are_both_named_and_the_first_keeps_it(
    write_file: Any, good_plugin: str
) -> None:
    first, second = write_file("one.py", good_plugin), write_file("two.py", good_plugin)
    registry = load_plugins([first, second])
    text = only_failure(registry)
    assert "one.py" in text
    assert "two.py" in text
    assert "'swirl'" in text
    assert registry.cells["swirl"].distribution == "one.py"


def test_stranger_cannot_take_the_name_of_a_built_in_cell(write_file: Any, good_plugin: str) -> None:
    registry = load_plugins([write_file("mine.py", good_plugin.replace('"swirl"', '"lstm"'))])
    assert "belongs to celloquy" in only_failure(registry)
    assert registry.cell_class("lstm").__module__ == "cells.lstm"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("register('Swirl', Swirl)", "lower-case"),
        ("register('a.b', Swirl)", "lower-case"),
        ("register('../x', Swirl)", "lower-case"),
        ("register('', Swirl)", "lower-case"),
        ("register(None, Swirl)", "lower-case"),
        ("register('swirl', Swirl())", "neither a subclass of Cell nor"),
        ("register('swirl', int)", "neither a subclass of Cell nor"),
        ("register('swirl', 'a.module')", "package.module:Class"),
        ("register('swirl', Swirl, summary=3)", "summary"),
        ("register('swirl')", "TypeError"),
    ],
)
def test_registration_that_cannot_work_is_reported(write_file: Any, good_plugin: str, call: str, told: str) -> None:
    path = write_file("bad.py", good_plugin.replace('register("swirl", Swirl)', call))
    assert told in only_failure(load_plugins([path]))


def test_what_a_plugin_prints_while_it_loads_goes_to_standard_error(
    write_file: Any, good_plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    load_plugins([write_file("loud.py", good_plugin + "\nprint('hello')\n")])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("no_such_module:Cell", "ModuleNotFoundError"),
        ("json:Nothing", "AttributeError"),
        ("json:JSONDecoder", "not a subclass of Cell"),
        ("this_exits:Cell", "SystemExit"),
    ],
)
def test_lazy_cell_that_cannot_be_loaded_names_its_distribution_when_used(
    install: Any, monkeypatch: pytest.MonkeyPatch, target: str, told: str
) -> None:
    monkeypatch.delenv("CELLOQUY_LOAD_PLUGINS")
    install("this-exits", "1", "raise SystemExit", entry="unused")
    install("celloquy-lazy", "3", HEAD + f"@hookimpl\ndef register_cells(register): register('lazy', {target!r})")
    registry = load_plugins()
    assert "lazy" in registry.cells
    with pytest.raises(CelloquyError, match=r"^cell lazy \(celloquy-lazy 3\): ") as caught:
        registry.create_cell("lazy")
    assert told in str(caught.value)
    assert registry.create_cell("gru").label == "gru"
