"""Prompts and sampling options of every kind: text of the model's own alphabet, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reliability_kit.bounds import bounded
from reliability_kit.children import Nursery
from reliability_kit.ledger import Ledger

from cells.errors import CelloquyError, UsageError
from checkpoints.loading import Loaded, load_checkpoint
from plugins.sampler import Stream
from repl.chain import Chain
from repl.generator import Writer
from repl.registration import registry
from repl.sampling import distribution

PROMPT = "prompts of any kind: continued in the checkpoint's own characters, or one line"
SAMPLING = "sampling options of any kind: a valid distribution, or a usage error"
SILENT = "\ufffd"


@pytest.fixture(scope="module")
def loaded(speaker: Path) -> Loaded:
    return load_checkpoint(speaker / "checkpoints" / "tiny.lstm.safetensors")


PROMPTS = {
    "empty": "",
    "one character": "a",
    "only unknown characters": "ЖЖЖЖ☃",
    "control characters": "\x00\x07\x08\x1b[2J\x7f\x9b31m\r\n",
    "lone surrogates": "a\ud800b\udfff",
    "changes of direction": "\u202ea\u2066b",
    "combining marks": "\u0301" * 1000,
    "a hundred thousand characters": "the king is gone " * 6000,
    "one character a hundred thousand times": "a" * 100_000,
    "every character": "".join(map(chr, range(0x3000))),
}


def check_continued(loaded: Loaded, prompt: str) -> None:
    writer = Writer(loaded, registry(), seed=3)
    pieces = list(writer.stream(prompt, 20))
    assert len(pieces) >= 20
    known = set(loaded.tokenizer.decode(range(1, loaded.tokenizer.vocabulary_size)))
    assert set("".join(pieces)) <= known
    assert writer.transcript == prompt + "".join(pieces)
    assert writer.generate(prompt, 20, seed=3) == "".join(pieces)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_strange_prompt_is_continued(loaded: Loaded, ledger: Ledger, name: str) -> None:
    with ledger.attempt(PROMPT), bounded(20.0, 400.0):
        check_continued(loaded, PROMPTS[name])


@pytest.mark.slow
def test_a_prompt_of_a_million_characters_is_continued(loaded: Loaded, ledger: Ledger) -> None:
    with ledger.attempt(PROMPT), bounded(120.0, 1000.0):
        check_continued(loaded, "the king is gone " * 60_000)


@settings(max_examples=40, deadline=None)
@given(prompt=st.text(max_size=30))
def test_any_prompt_is_continued(loaded: Loaded, ledger: Ledger, prompt: str) -> None:
    with ledger.attempt(PROMPT):
        check_continued(loaded, prompt)


@pytest.mark.parametrize("prompt", [b"", b"a", b"\xff\xfe", "Ж☃".encode(), b"\x1b[2J", b"--", b"-", b"a" * 20_000])
def test_a_prompt_of_any_bytes_on_the_command_line(
    nursery: Nursery, speaker: Path, ledger: Ledger, prompt: bytes
) -> None:
    with ledger.attempt(PROMPT):
        status, out, said = nursery.celloquy(speaker, "generate", "tiny.lstm", "-n", "5", "--seed", "1", b"-p" + prompt)
        if not prompt:  # -p without its text
            assert status == 2
            return
        assert status == 0, said
        assert out.startswith(prompt)
        assert not any(ord(c) < 32 and c != "\n" for c in said)


@pytest.mark.parametrize("stdin", [b"", b"\xff", b"a\x00b", b"\xed\xa0\x80", b"x" * 50_000])
def test_standard_input_of_any_bytes(nursery: Nursery, speaker: Path, ledger: Ledger, stdin: bytes) -> None:
    with ledger.attempt(PROMPT):
        status, out, said = nursery.celloquy(speaker, "generate", "tiny.lstm", "-n", "5", "--seed", "1", stdin=stdin)
        assert status in (0, 1), said
        assert (status == 0) == out.startswith(stdin) == (b"\xff" not in stdin and b"\xed" not in stdin)


# ---------------------------------------------------------------------- sampling

OPTIONS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "typical_p", "mirostat", "seed", "greedy")
NUMBERS = (0, -0.0, 1e-320, 1e-12, 0.5, 1, 1.0, 2, 7, 1e6, 1e308, -1, -1e-9, 2**31, 2**63, 2**64, math.inf, -math.inf)
ODD: tuple[Any, ...] = (*NUMBERS, math.nan, True, False, None, "", "a", "0.5", "nan", "1e999", [], {}, b"1", 1j)

any_value = st.one_of(st.sampled_from(ODD), st.floats(), st.integers(), st.text(max_size=3))
any_logits = st.lists(
    st.one_of(st.floats(-50, 50), st.sampled_from((0.0, 1e30, -1e30, 1e300, -1e300, -math.inf, 88.8, -745.2))),
    min_size=1,
    max_size=12,
)


def sampling_options_now() -> Any:
    from repl.registration import sampling_options

    return sampling_options(registry())


@settings(max_examples=400, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(OPTIONS), any_value, max_size=6),
    logits=any_logits,
    history=st.lists(st.integers(0, 11), max_size=20),
    u=st.floats(0, 1, exclude_max=True),
)
@example(values={"temperature": 1e-320}, logits=[0.0, 1.0], history=[], u=0.0)
@example(values={"top_k": 10**9}, logits=[0.0, 1.0], history=[], u=0.999)
@example(values={"top_p": 0.0, "min_p": 1.0}, logits=[1e300, -1e300, 0.0], history=[0], u=0.5)
def test_every_combination_of_options_gives_a_distribution_or_a_usage_error(
    ledger: Ledger, values: dict[str, Any], logits: list[float], history: list[int], u: float
) -> None:
    with ledger.attempt(SAMPLING):
        try:
            checked = sampling_options_now().validate(values)
        except UsageError as error:
            assert str(error).isprintable()  # noqa: PT017
            return
        chain = Chain(registry().samplers, {**checked, "seed": 1})
        stream = Stream()
        stream.history.extend(token for token in history if token < len(logits))
        raw = np.array(logits)[None]
        if not np.isfinite(raw.max()):
            with pytest.raises(CelloquyError):
                chain.choose(raw[0], stream, u)
            return
        shares = distribution(chain.logits(raw, [stream]))[0]
        assert np.isfinite(shares).all()
        assert (shares >= 0).all()
        assert abs(shares.sum() - 1) < 1e-9
        token = chain.choose(raw[0], stream, u)
        assert shares[token] > 0 or shares.max() == 1
        assert raw[0][token] > -np.inf


@pytest.mark.parametrize("option", ["-t", "--top-k", "--top-p", "--min-p", "--repetition-penalty", "--seed", "-n"])
@pytest.mark.parametrize("value", ["0", "-1", "1e-300", "1e300", "nan", "inf", "", "x", "99999999999999999999", "0x10"])
def test_option_values_on_the_command_line(
    nursery: Nursery, speaker: Path, ledger: Ledger, option: str, value: str
) -> None:
    if (option, value) == ("-n", "99999999999999999999"):
        pytest.skip("it would be done")
    with ledger.attempt(SAMPLING):
        small = () if option == "-n" else ("-n", "4")
        status, out, said = nursery.celloquy(
            speaker,
            "generate",
            "tiny",
            "-p",
            "a",
            *small,
            f"{option}={value}" if option.startswith("--") else f"{option}{value}",
        )
        assert status in (0, 2), said
        assert (status == 2) == (out == b"")
        if status == 2:
            assert said.count("\n") == 1
            assert said.startswith("error: ")


def test_all_tokens_banned_is_one_line(nursery: Nursery, speaker: Path, tmp_path: Path, ledger: Ledger) -> None:
    plugin = tmp_path / "ban.py"
    plugin.write_text(
        "import torch\n"
        "from celloquy import Option, Sampler, hookimpl\n\n"
        "class Ban(Sampler):\n"
        "    name = 'ban'\n"
        "    options = (Option('ban', bool, False, 'Ban all.'),)\n"
        "    order = 800\n\n"
        "    def active(self, values):\n"
        "        return values['ban']\n\n"
        "    def transform(self, logits, values, streams):\n"
        "        return torch.full_like(logits, -torch.inf)\n\n"
        "@hookimpl\n"
        "def register_samplers(register):\n"
        "    register(Ban)\n",
        encoding="utf-8",
    )
    with ledger.attempt(SAMPLING):
        status, _, said = nursery.celloquy(speaker, "generate", "tiny", "-p", "a", "--plugin", plugin, "--ban")
        assert status == 1
        complaint = said.splitlines()[-1]
        assert complaint.startswith("error: ")
        assert "ban" in complaint
        assert "Traceback" not in said


@pytest.mark.parametrize("stop", ["", "a", " ", "\n", "x" * 10_000, "\ud800", "\x00"])
def test_stop_texts_of_any_kind(loaded: Loaded, ledger: Ledger, stop: str) -> None:
    with ledger.attempt(SAMPLING):
        writer = Writer(loaded, registry(), seed=1)
        try:
            text = writer.generate("the", 50, stop=[stop])
        except UsageError:
            assert stop == ""
            return
        assert stop not in text


def test_json_of_hostile_prompts_is_lossless(nursery: Nursery, speaker: Path, ledger: Ledger) -> None:
    with ledger.attempt(PROMPT):
        prompts = ["\x1b[2J", "\x9b31m\x7f", "a\u202eb", '"\\', "Ж"]
        stdin = "\n".join(prompts).encode() + b"\n"
        status, out, said = nursery.celloquy(
            speaker, "generate", "tiny", "--lines", "--json", "-n", "3", "--seed", "1", stdin=stdin
        )
        assert status == 0, said
        assert [json.loads(line)["prompt"] for line in out.decode().splitlines()] == prompts
