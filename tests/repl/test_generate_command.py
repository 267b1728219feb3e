"""``celloquy generate``, as scripts rely on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
KEYS = {
    "prompt",
    "text",
    "tokens",
    "finish",
    "cell",
    "checkpoint",
    "temperature",
    "seed",
    "sample",
    "nats_per_token",
}


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_prompt_is_echoed_and_followed_by_exactly_the_tokens_asked_for(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "ROMEO:", "-n", "300", "-t", "0.5", "--seed", "7")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("ROMEO:")
    assert len(done.out) == 306
    assert celloquy("generate", "tiny", "-p", "ROMEO:", "-n", "300", "-t", "0.5", "--seed", "7").out == done.out


def test_no_echo_leaves_out_the_prompt(celloquy: Run) -> None:
    whole = celloquy("generate", "tiny", "-p", "ROMEO:", "-n", "30", "--seed", "7").out
    assert celloquy("generate", "tiny", "-p", "ROMEO:", "-n", "30", "--seed", "7", "--no-echo").out == whole[6:]


def test_the_prompt_comes_from_standard_input_whole(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-n", "5", "--seed", "1", input=b"To be\nor\n")
    assert done.out.startswith("To be\nor\n")
    assert len(done.out) == 14


def test_the_prompt_comes_from_a_file(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("To 你\r\n".encode())
    done = celloquy("generate", "tiny", "--prompt-file", "prompt.txt", "-n", "0", "--seed", "1", input=b"not this")
    assert done.out == "To 你\r\n"


def test_an_empty_standard_input_is_an_empty_prompt(celloquy: Run) -> None:
    assert len(celloquy("generate", "tiny", "-n", "9", "--seed", "1").out) == 9


def test_a_seed_that_was_not_given_is_reported_and_repeats_the_text(celloquy: Run) -> None:
    first = celloquy("generate", "tiny", "-p", "a", "-n", "40")
    word, seed = first.error_line.split()
    assert word == "seed"
    assert celloquy("generate", "tiny", "-p", "a", "-n", "40", "--seed", seed).out == first.out
    assert celloquy("generate", "tiny", "-p", "a", "-n", "40").out != first.out


def test_json_has_exactly_the_promised_keys(celloquy: Run) -> None:
    done = celloquy(
        "generate", "tiny", "--cell", "gru", "-p", "To be", "-n", "12", "--seed", "3", "--json", "-t", "0.5"
    )
    (found,) = objects(done.out)
    assert found.keys() == KEYS
    nats = found.pop("nats_per_token")
    text = found.pop("text")
    assert nats > 0
    assert found == {
        "prompt": "To be",
        "tokens": 12,
        "finish": "length",
        "cell": "gru",
        "checkpoint": "tiny.gru",
        "temperature": 0.5,
        "seed": 3,
        "sample": 0,
    }
    assert "To be" + text == celloquy("generate", "tiny.gru", "-p", "To be", "-n", "12", "--seed", "3", "-t", "0.5").out


def test_greedy_is_reported_as_temperature_0(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "a", "-n", "9", "--seed", "3", "--json", "--greedy")
    cold = celloquy("generate", "tiny", "-p", "a", "-n", "9", "--seed", "4", "--json", "-t", "0")
    (one,), (other,) = objects(done.out), objects(cold.out)
    assert (one["temperature"], one["text"]) == (0, other["text"])


def test_no_text_has_no_surprise(celloquy: Run) -> None:
    (found,) = objects(celloquy("generate", "tiny", "-n", "0", "--seed", "1", "--json").out)
    assert (found["text"], found["tokens"], found["nats_per_token"]) == ("", 0, None)


def test_samples_are_numbered_and_the_first_is_the_one_without_samples(celloquy: Run) -> None:
    found = objects(celloquy("generate", "tiny", "-p", "a", "-n", "20", "--seed", "1", "--samples", "5", "--json").out)
    assert [one["sample"] for one in found] == [0, 1, 2, 3, 4]
    assert len({one["text"] for one in found}) == 5
    (single,) = objects(celloquy("generate", "tiny", "-p", "a", "-n", "20", "--seed", "1", "--json").out)
    assert single == found[0]


def test_every_line_is_a_prompt_and_results_come_in_order(celloquy: Run) -> None:
    prompts = ["To be", "", "Z", "or not", "你好"] * 30
    lines = "\n".join(prompts).encode()
    found = objects(celloquy("generate", "tiny", "-n", "8", "--seed", "1", "--lines", "--json", input=lines).out)
    assert [one["prompt"] for one in found] == prompts
    assert found[:5] == found[5:10]
    for one in found[:5]:
        (alone,) = objects(celloquy("generate", "tiny", "-n", "8", "--seed", "1", "--json", "-p", one["prompt"]).out)
        assert alone == one


def test_lines_may_come_from_a_file_or_the_command_line(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_bytes(b"a\r\nb\n")
    for source in (("--prompt-file", "two.txt"), ("-p", "a\nb")):
        found = objects(celloquy("generate", "tiny", "-n", "3", "--seed", "1", "--lines", "--json", *source).out)
        assert [one["prompt"] for one in found] == ["a", "b"]


def test_several_texts_are_parted_by_an_empty_line(celloquy: Run) -> None:
    texts = [
        one["text"]
        for one in objects(
            celloquy("generate", "tiny", "-p", "a", "-n", "9", "--seed", "2", "--samples", "2", "--json").out
        )
    ]
    plain = celloquy("generate", "tiny", "-p", "a", "-n", "9", "--seed", "2", "--samples", "2").out
    assert plain == "\n\n".join("a" + text.removesuffix("\n") for text in texts) + "\n"


def test_it_ends_before_a_stop_text_of_which_nothing_is_printed(celloquy: Run) -> None:
    whole = celloquy("generate", "tiny", "-p", "a", "-n", "200", "--seed", "2").out
    stop = whole[60:63]
    cut = celloquy("generate", "tiny", "-p", "a", "-n", "200", "--seed", "2", "--stop", "☃", "--stop", stop).out
    assert cut == "a" + whole[1 : whole.index(stop, 1)]
    (found,) = objects(celloquy("generate", "tiny", "-p", "a", "--seed", "2", "--stop", stop, "--json").out)
    assert ("a" + found["text"], found["finish"], found["tokens"]) == (cut, "stop", len(cut) - 1)


def test_an_unknown_prompt_character_is_named_on_stderr_and_echoed_as_it_is(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "é☃é Z", "-n", "5", "--seed", "1")
    assert done.status == 0
    assert done.error_line == (
        "warning: tiny.gru does not know 'é' (U+00E9), '☃' (U+2603), 'Z' (U+005A): read as unknown"
    )
    assert done.out.startswith("é☃é Z")


def test_an_unknown_character_of_many_lines_is_named_once(celloquy: Run) -> None:
    lines = "\n".join(["é"] * 200 + ["☃"]).encode()
    done = celloquy("generate", "tiny", "-n", "1", "--seed", "1", "--lines", input=lines)
    assert [line.count("U+") for line in done.err.splitlines()] == [1, 1]


def test_control_characters_in_a_warning_cannot_reach_the_terminal(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", "-p", "\x1b]52;c;\x9b", "-n", "0", "--seed", "1")
    assert "\x1b" not in done.err
    assert "␛ (U+001B)" in done.err
    assert done.out == "\x1b]52;c;\x9b"


def test_a_byte_model_knows_everything(celloquy: Run) -> None:
    done = celloquy("generate", "bytes", "-p", "é☃", "-n", "50", "--seed", "1")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-t", "-1"), "temperature must be a number of at least 0"),
        (("-t", "nan"), "temperature must be"),
        (("-t", "hot"), "temperature must be a number of at least 0, not 'hot'"),
        (("--top-p", "2"), "top-p must be a number from 0 to 1"),
        (("--top-k", "-1"), "top-k must be"),
        (("--repetition-penalty", "0"), "repetition-penalty must be"),
        (("-n", "-1"), "-1"),
        (("--samples", "0"), "0"),
        (("--seed", "-1"), "seed must be"),
        (("--stop", ""), "a stop text must not be empty"),
        (("--no-such-flag",), "no-such-flag"),
        (("-p", "a", "--prompt-file", "x"), "not both"),
        (("another", "argument"), "argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    celloquy: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    done = celloquy("generate", "tiny", *arguments)
    assert done.status == 2
    assert done.out == ""
    assert done.error_line.startswith("error: ")
    assert complaint in done.error_line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nosuch",), "there is no checkpoint 'nosuch'; there are: "),
        (("tiny", "--cell", "swirl"), "no sibling with cell 'swirl'"),
        (("./gone.safetensors",), "gone.safetensors"),
        (("tiny", "--prompt-file", "gone.txt"), "gone.txt: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(
    celloquy: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    done = (
        celloquy("generate", "-p", "", *arguments)
        if "--prompt-file" not in arguments
        else celloquy("generate", *arguments)
    )
    assert (done.status, done.out) == (1, "")
    assert done.error_line.startswith("error: ")
    assert complaint in done.error_line


def test_input_that_is_not_utf8_is_refused_with_the_place(celloquy: Run) -> None:
    done = celloquy("generate", "tiny", input=b"abc\xff")
    assert (done.status, done.error_line) == (1, "error: standard input is not UTF-8: byte 3 is 0xFF")


def test_top_k_may_be_larger_than_the_vocabulary(celloquy: Run) -> None:
    wide = celloquy("generate", "tiny", "-p", "a", "-n", "30", "--seed", "1", "--top-k", "100000")
    assert wide.out == celloquy("generate", "tiny", "-p", "a", "-n", "30", "--seed", "1").out


def test_a_truncated_checkpoint_is_one_line(celloquy: Run, folder: Path, tmp_path: Path) -> None:
    whole = (folder / "tiny.lstm.safetensors").read_bytes()
    (tmp_path / "cut.lstm.safetensors").write_bytes(whole[:-100])
    done = celloquy("generate", "./cut.lstm.safetensors", "-p", "a")
    assert done.status == 1
    assert "cut.lstm.safetensors" in done.error_line
    assert "damaged" in done.error_line


def test_debug_shows_the_traceback_and_still_the_line(celloquy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = celloquy("generate", "nosuch", "--debug")
    assert done.status == 1
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("error: there is no checkpoint")
    monkeypatch.setenv("CELLOQUY_DEBUG", "1")
    assert "Traceback" in celloquy("generate", "nosuch").err


PLUGIN = """
from celloquy import Option, Sampler, hookimpl

class Only(Sampler):
    '''Draw nothing but one token.'''
    name = "only"
    options = (Option("only", int, 0, "Draw this token only; 0 is off.", minimum=0),)

    def transform(self, logits, values, streams):
        kept = logits.new_full(logits.shape, -float("inf"))
        kept[:, values["only"]] = 0
        return kept

@hookimpl
def register_samplers(register):
    register(Only)
"""


@pytest.mark.parametrize("before", [True, False])
def test_a_plugins_sampling_option_appears_by_itself(celloquy: Run, tmp_path: Path, before: bool) -> None:
    (tmp_path / "only.py").write_text(PLUGIN)
    plugin = ("--plugin", "only.py")
    command = ("generate", "tiny", "-p", "a", "-n", "4", "--seed", "1", "--only", "3")
    done = celloquy(*plugin, *command) if before else celloquy(*command, *plugin)
    assert (done.status, done.err) == (0, "")
    assert done.out == "a!!!!"
    assert "--only" in celloquy("generate", "--plugin=only.py", "--help").out
    assert celloquy(*command).status == 2


def test_a_plugin_that_fails_is_one_line_and_everything_else_works(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise SystemExit('no')")
    done = celloquy("generate", "tiny", "-p", "a", "-n", "4", "--seed", "1", "--plugin", "bad.py")
    assert done.status == 0
    assert len(done.out) == 5
    assert done.error_line.startswith("warning: plugin bad (bad.py): ")


def test_no_sampler_can_bring_the_unknown_token_back(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "unknown.py").write_text(PLUGIN.replace('values["only"]', "0"))
    done = celloquy("generate", "tiny", "-p", "a", "--seed", "1", "--plugin", "unknown.py", "--only", "1")
    assert done.status == 1
    assert "every token is banned" in done.error_line


def test_a_sampler_that_bans_everything_is_named(celloquy: Run, tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text(PLUGIN.replace("kept[:,", "kept[:0,"))
    done = celloquy("generate", "tiny", "-p", "a", "-n", "4", "--seed", "1", "--plugin", "none.py", "--only", "3")
    assert done.status == 1
    assert "only (none.py)" in done.error_line
