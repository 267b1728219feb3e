"""The ``llm`` tool, the real one: ``llm -m celloquy/NAME`` streams, takes the sampling options, goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repl.generator import Writer

llm = pytest.importorskip("llm", reason="pip install -e '.[test]' brings it")

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
Write = Callable[..., Writer]


@pytest.fixture
def model(home: Path) -> Iterator[Any]:
    """The model of a checkpoint, as the plugin gives it to ``llm``."""
    from repl.llm_model import models, options_class

    options_class.cache_clear()
    found = {one.model_id: one for one in models()}
    yield lambda name: found[f"celloquy/{name}"]
    options_class.cache_clear()


@pytest.fixture
def tool(home: Path, tmp_path: Path) -> Callable[..., Any]:
    """``tool("models")``: the program ``llm`` in a fresh home, with the entry point that pyproject.toml declares."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["llm"]
    info = tmp_path / "site" / "celloquy-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: celloquy\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[llm]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()))
    path = os.pathsep.join((str(ROOT), str(info.parent)))
    settings = {**os.environ, "PYTHONPATH": path, "LLM_USER_PATH": str(tmp_path / "llm"), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llm", *arguments]
        return subprocess.run(
            command, env=settings, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    return run


def test_the_tool_writes_what_the_writer_writes(tool: Callable[..., Any], write: Write) -> None:
    options = ("-o", "seed", "7", "-o", "length", "20", "-o", "temperature", "0.5")
    done = tool("-m", "celloquy/tiny", "--no-log", "To be", *options)
    assert (done.returncode, done.stderr) == (0, "")
    expected = write("tiny", None).generate("To be", 20, seed=7, temperature=0.5)
    assert done.stdout.rstrip("\n") == expected.rstrip("\n")


def test_every_family_and_checkpoint_is_a_model(model: Any) -> None:
    assert [model(name).model_id for name in ("tiny", "tiny.gru", "shakespeare", "chitchat.lstm")]


def test_listing_the_models_imports_no_torch(home: Path) -> None:
    code = "import sys; from repl.llm_model import models; assert list(models()); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_it_streams_and_tells_the_seed(model: Any) -> None:
    response = model("tiny.gru").prompt("To be", length=12)
    pieces = list(response)
    assert (len(pieces), sum(map(len, pieces))) == (12, 12)
    told = response.response_json
    assert (told["checkpoint"], told["cell"]) == ("tiny.gru", "gru")
    again = model("tiny.gru").prompt("To be", length=12, seed=told["seed"])
    assert again.text() == "".join(pieces)


def test_every_sampling_option_is_one_of_the_tool(model: Any) -> None:
    from repl.registration import registry, sampling_options

    fields = model("tiny").Options.model_fields
    assert {option.key for option in sampling_options(registry()) if not option.multiple} <= fields.keys()
    text = model("tiny").prompt("To", top_k=1, seed=1, length=9, cell="rnn").text()
    assert text == model("tiny").prompt("To", greedy=True, length=9, cell="rnn").text()
    assert model("tiny").prompt("To", seed=1, stop=text[4], length=9, top_k=1, cell="rnn").text() == text[:4]


@pytest.mark.parametrize(("name", "value"), [("temperature", -1), ("cell", "none"), ("top_p", 7)])
def test_a_wrong_value_is_refused_in_the_programs_own_words(model: Any, name: str, value: Any) -> None:
    from cells.errors import CelloquyError

    with pytest.raises(CelloquyError, match=name.replace("_", "-") if name != "cell" else "no sibling"):
        model("tiny").prompt("To be", **{name: value}).text()


def test_a_conversation_goes_on_from_its_text(model: Any, write: Write) -> None:
    talk = model("tiny.lstm").conversation()
    first = talk.prompt("To be", seed=1, length=8).text()
    second = talk.prompt(" or", seed=2, length=8).text()
    assert second == write("tiny", "lstm").generate("To be" + first + " or", 8, seed=2)


def test_a_checkpoint_that_chats_is_given_turns_and_answers_one(model: Any) -> None:
    talk = model("chitchat.gru").conversation()
    answers = [talk.prompt(line, seed=3).text() for line in ("How are you today?", "And what do you like?")]
    assert all(0 < len(answer) <= 200 and "\n" not in answer and "A: " not in answer for answer in answers)
