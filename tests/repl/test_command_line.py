"""The command line as a whole: help, exit statuses, the small commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from cells.errors import CelloquyError, UsageError
from repl.cli import COMMANDS, with_default_command
from repl.exits import run_to_exit

Run = Callable[..., Any]
TEXT = "To be, or not to be.\nThat is the question.\n"


def test_help_names_every_command_with_a_sentence(celloquy: Run) -> None:
    done = celloquy("--help")
    assert (done.status, done.err) == (0, "")
    for name, sentence in COMMANDS.items():
        assert f"  {name}" in done.out
        assert " ".join(done.out.split()).count(sentence) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(celloquy: Run, name: str) -> None:
    done = celloquy(name, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"Usage: celloquy {name}")
    assert "--plugin" in done.out
    assert "--debug" in done.out


def test_every_training_option_is_a_flag_with_its_default(celloquy: Run) -> None:
    from checkpoints.options import TRAIN_OPTIONS

    text = " ".join(celloquy("train", "--help").out.split())
    for option in TRAIN_OPTIONS:
        assert f"--{option.name}" in text
    assert "[default: 512]" in text


def test_the_version_is_told(celloquy: Run) -> None:
    done = celloquy("--version")
    assert done.status == 0
    assert done.out.startswith("celloquy ")
    assert "torch" in done.out


def test_without_a_command_it_is_the_repl_which_needs_a_terminal(celloquy: Run) -> None:
    for arguments in ((), ("repl",), ("tiny",), ("-t", "0.5"), ("repl", "tiny", "--cell", "gru")):
        done = celloquy(*arguments)
        assert (done.status, done.out) == (2, "")
        assert "needs a terminal on both ends" in done.error_line


def test_a_checkpoints_name_stands_for_the_repl_on_it(home: Path) -> None:
    assert with_default_command(["tiny", "-t", "1"]) == ["repl", "tiny", "-t", "1"]
    assert with_default_command(["--debug", "tiny.gru"]) == ["--debug", "repl", "tiny.gru"]
    assert with_default_command(["list"]) == ["list"]
    assert with_default_command(["nosuch"]) == ["nosuch"]


def test_a_misspelled_command_is_refused_with_the_nearest(celloquy: Run) -> None:
    done = celloquy("genrate")
    assert done.status == 2
    assert done.error_line.startswith("error: there is no command or checkpoint 'genrate'; did you mean generate?")


def test_list_prints_a_row_for_each_checkpoint(celloquy: Run) -> None:
    done = celloquy("list")
    assert (done.status, done.err) == (0, "")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert names[0] == "NAME"
    assert [name for name in names if name.startswith("tiny.")] == ["tiny.rnn", "tiny.lstm", "tiny.gru"]


def test_list_json_has_exactly_the_promised_keys(celloquy: Run) -> None:
    entries = json.loads(celloquy("list", "--json").out)
    assert all(
        entry.keys() == {"name", "family", "cell", "path", "parameters", "bytes", "val_loss"} for entry in entries
    )
    (gru,) = (entry for entry in entries if entry["name"] == "tiny.gru")
    assert (gru["family"], gru["cell"], gru["val_loss"]) == ("tiny", "gru", 1.8)


def test_a_damaged_checkpoint_does_not_hide_the_others(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "bad\x1b[2J.lstm.safetensors").write_bytes(b"nonsense")
    done = celloquy("list")
    assert done.status == 0
    assert "tiny.lstm" in done.out
    assert done.error_line.startswith("warning: ")
    assert "\x1b" not in done.err + done.out


def test_info_tells_everything_and_controls_nothing(celloquy: Run, tmp_path: Path, save: Callable[..., Path]) -> None:
    from checkpoints.tokenizers import CharTokenizer

    save(tmp_path, "odd", "gru", CharTokenizer("a\x1b\x9b]0;"))
    done = celloquy("info", "./odd.gru.safetensors")
    assert (done.status, done.err) == (0, "")
    assert not {"\x1b", "\x9b"} & set(done.out)
    whole = json.loads(celloquy("info", "./odd.gru.safetensors", "--json").out)
    assert whole["tokenizer"]["characters"] == "".join(sorted("a\x1b\x9b]0;"))
    assert whole["model"]["hidden_size"] == 64
    assert whole["cell"]["name"] == "gru"


def test_info_shows_nothing_that_the_file_leaves_empty(celloquy: Run) -> None:
    done = celloquy("info", "shakespeare")
    assert [line for line in done.out.splitlines() if len(line.split()) < 2] == []
    assert json.loads(celloquy("info", "shakespeare", "--json").out)["celloquy"] == ""


def test_a_plugin_file_that_is_not_there_is_told_even_where_no_plugin_is_needed(celloquy: Run) -> None:
    for arguments in (("--plugin", "nosuch.py", "list"), ("info", "tiny", "--plugin", "nosuch.py")):
        done = celloquy(*arguments)
        assert (done.status, bool(done.out)) == (0, True)
        assert done.error_line == "warning: there is no plugin file nosuch.py"
    told = celloquy("generate", "tiny", "-p", "a", "-n", "1", "--seed", "1", "--plugin", "nosuch.py").err
    assert told.count("nosuch.py") == told.count("warning") + 1 == 2


def test_info_takes_a_family_and_a_cell(celloquy: Run) -> None:
    assert json.loads(celloquy("info", "tiny", "--cell", "rnn", "--json").out)["name"] == "tiny.rnn"


def test_eval_prints_the_promised_figures(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    done = celloquy("eval", "tiny", "text.txt", "--json")
    assert (done.status, done.err) == (0, "")
    figures = json.loads(done.out)
    assert {"tokens", "characters", "nats_per_token", "bits_per_character", "perplexity"} <= figures.keys()
    assert figures["characters"] == len(TEXT)
    plain = dict(line.split() for line in celloquy("eval", "tiny", "text.txt").out.splitlines())
    assert float(plain["nats_per_token"]) == pytest.approx(figures["nats_per_token"], rel=1e-5)


def test_eval_and_the_writer_agree(celloquy: Run, tmp_path: Path, write: Callable[..., Any]) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    figures = json.loads(celloquy("eval", "tiny.lstm", "text.txt", "--json").out)
    score = write().score(TEXT)
    assert score.tokens == figures["tokens"]
    assert score.nats_per_token == pytest.approx(figures["nats_per_token"], abs=1e-4)
    assert score.bits_per_character == pytest.approx(figures["bits_per_character"], abs=1e-4)


def test_eval_names_unknown_characters_on_stderr(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("To be ☃")
    done = celloquy("eval", "tiny", "text.txt")
    assert done.status == 0
    assert "'☃' (U+2603)" in done.error_line


def test_eval_reads_a_file_in_the_encoding_that_its_refusal_offers(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "wide.txt").write_text(TEXT, encoding="utf-16")
    refused = celloquy("eval", "tiny", "wide.txt")
    assert (refused.status, refused.out) == (1, "")
    assert "byte 0 (0xff)" in refused.error_line
    assert "--encoding" in refused.error_line
    done = celloquy("eval", "tiny", "wide.txt", "--encoding", "utf-16", "--json")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["characters"] == len(TEXT)
    replaced = celloquy("eval", "tiny", "wide.txt", "--errors", "replace")
    assert replaced.status == 0
    assert "U+FFFD" in replaced.err


@pytest.mark.parametrize("arguments", [("eval", "tiny", "gone.txt"), ("eval", "gone", "x"), ("info", "gone")])
def test_what_is_missing_is_one_line(celloquy: Run, arguments: tuple[str, ...]) -> None:
    done = celloquy(*arguments)
    assert (done.status, done.out) == (1, "")
    assert done.error_line.startswith("error: ")
    assert "gone" in done.error_line


def test_a_text_becomes_a_checkpoint_that_speaks(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(TEXT * 60)
    sizes = ("--hidden", "32", "--batch", "4", "--bptt", "16", "--steps", "2", "--threads", "1", "--precision", "fp32")
    done = celloquy("train", "corpus.txt", "--name", "mine", "--cell", "rnn,gru", *sizes)
    assert done.status == 0, done.err
    assert done.out.split() == ["checkpoints/mine.rnn.safetensors", "checkpoints/mine.gru.safetensors"]
    written = celloquy("generate", "mine", "-p", "To be", "-n", "20", "--seed", "1")
    assert (written.status, len(written.out)) == (0, 25)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("corpus.txt", "--name", "x", "--hidden", "0"), 2),
        (("corpus.txt", "--name", "x", "--steps", "2", "--epochs", "1"), 2),
        (("corpus.txt", "--name", "x", "--norm", "batch"), 2),
        (("corpus.txt",), 2),
        ((), 2),
        (("gone.txt", "--name", "x"), 1),
        (("empty.txt", "--name", "x"), 1),
        (("corpus.txt", "--name", "x", "--cell", "swirl", "--steps", "1"), 1),
    ],
)
def test_training_that_cannot_be_is_one_line(
    celloquy: Run, tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    (tmp_path / "corpus.txt").write_text(TEXT * 60)
    (tmp_path / "empty.txt").write_text("")
    done = celloquy("train", *arguments)
    assert (done.status, done.out) == (status, "")
    assert done.error_line.startswith("error: ")


class _Saved(CelloquyError):
    exit_status = 143


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CelloquyError("no"), 1, "error: no\n"),
        (UsageError("no"), 2, "error: no\n"),
        (CelloquyError("two\nlines \x1b[2J"), 1, "error: two␊lines ␛[2J\n"),
        (_Saved("stopped; go on with --resume"), 143, "stopped; go on with --resume\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.UsageError("no such thing."), 2, "error: no such thing\n"),
        (OSError(28, "No space left on device", "/x"), 1, "error: /x: No space left on device\n"),
        (MemoryError(), 1, "error: there is not enough memory for this\n"),
        (
            ZeroDivisionError("by zero"),
            1,
            "error: ZeroDivisionError: by zero; this is a fault in the program, --debug shows where\n",
        ),
    ],
)
def test_every_end_has_its_status_and_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert run_to_exit(fail) == status
    assert capsys.readouterr() == ("", line)


def test_an_end_without_fault_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_exit(lambda: None) == 0
    assert run_to_exit(lambda: (_ for _ in ()).throw(click.exceptions.Exit(3))) == 3  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "")
