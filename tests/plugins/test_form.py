"""The sampler that keeps a form of verse: always valid, and the model's own choice within it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cells.errors import CelloquyError, UsageError
from cells.gru import GRU
from cells.initialise import initialise
from cells.model import LanguageModel, ModelConfig
from checkpoints.files import save_safetensors
from checkpoints.header import Header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import Tokenizer, make_tokenizer
from plugins.gallery.form_pattern import place_after, places
from repl.chain import Chain
from repl.generator import Writer
from repl.models import Models
from repl.sampling import distribution
from repl.session import Session

CORPUS = "春眠不覺曉，處處聞啼鳥。\n夜來風雨聲，花落知多少。\n\n the sea and sky 秋冬夏，。 ,.;\n" * 4
QUATRAIN = r"(?:\w{5}，\w{5}。\n\w{5}，\w{5}。\n\n)"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Writer]:
    """``make("word", form="5,5/5,5")``: a writer with random weights on tokens of that kind."""
    folder = tmp_path_factory.mktemp("poems")

    def build(tokens: str = "char", **sampling: Any) -> Writer:
        path = folder / f"{tokens.replace(':', '')}.gru.safetensors"
        if not path.exists():
            save(path, make_tokenizer(tokens, CORPUS))
        return Writer(load_checkpoint(path), **sampling)

    return build


def save(path: Path, tokenizer: Tokenizer) -> None:
    config = ModelConfig(tokenizer.vocabulary_size, 32, unknown_id=tokenizer.unknown_id)
    model = LanguageModel(GRU(), config)
    initialise(model, "default", 1)
    with torch.no_grad():
        model.readout.weight.mul_(6)
    described = {"name": "gru", "version": GRU.version, "options": {}, "distribution": "celloquy"}
    header = Header("poems", described, config.to_json(), tokenizer.to_json(), figures={})
    save_safetensors(path, stored_tensors(model), header.dumps())


@pytest.mark.parametrize("tokens", ["char", "bpe:400", "word"])
@pytest.mark.parametrize("seed", range(5))
def test_every_text_has_the_form_to_its_last_character(make: Callable[..., Writer], tokens: str, seed: int) -> None:
    text = make(tokens, form="5,5/5,5", temperature=1.5).generate("", 130, seed=seed)
    poems = text.split("\n\n")
    assert len(poems) > 2
    for poem in poems[:-1]:
        assert re.fullmatch(QUATRAIN, poem + "\n\n"), poem
    assert place_after(places("5,5/5,5", "，。", ""), text) == len(poems[-1])


def test_one_poem_is_as_long_as_its_places(make: Callable[..., Writer]) -> None:
    writer = make(form="7,7/7,7", temperature=2.0)
    texts = writer.generate_batch([""] * 3, 33, seed=1)
    assert re.fullmatch(r"\w{7}，\w{7}。\n\w{7}，\w{7}。", texts[0])


def test_first_characters_are_those_of_the_acrostic(make: Callable[..., Writer]) -> None:
    clauses = make(acrostic="春夏秋冬").generate("", 25, seed=1)
    assert [clause[0] for clause in re.split("[，。]\n?", clauses)[:4]] == ["春", "夏", "秋", "冬"]
    lines = make(acrostic="花夜", form="3,3/3,3").generate("", 17, seed=1)
    assert [line[0] for line in lines.split("\n")] == ["花", "夜"]


def test_marks_may_be_others_or_none(make: Callable[..., Writer]) -> None:
    assert re.fullmatch(r"\w{3},\w{2}\.\n\n\w{3},", make(form="3,2", form_marks=",.").generate("", 13, seed=1))
    assert re.fullmatch(r"\w{5}\n\w{5}\n\n", make(form="5/5", form_marks="").generate("", 13, seed=1))


def test_within_the_form_the_odds_are_the_models_own(make: Callable[..., Writer]) -> None:
    writer = make(form="5,5/5,5", temperature=1.0)
    model = writer._reading.model
    raw, _ = model.ahead(model.read_text("春眠", model.beginning()))
    writer.feed("春眠")
    chain = Chain(writer.registry.samplers, writer.settings, model.banned)
    kept = distribution(chain.logits(raw[None], [writer._reading.stream])[0])
    free = distribution(np.asarray(raw, dtype=np.float64))
    letters = np.array([text.isalnum() for text in model.vocabulary.texts])
    assert (kept[~letters] == 0).all()
    np.testing.assert_allclose(kept[letters], free[letters] / free[letters].sum(), rtol=1e-9)


@pytest.mark.parametrize(
    ("prompt", "continuation"),
    [
        ("春眠不", r"\w{2}，\w{5}。\n.*"),
        ("春眠不覺曉，", r"\w{5}。\n.*"),
        ("春眠不覺曉，處處聞啼鳥。\n夜來風雨聲，花落知多少。\n\n", r"\w{5}，.*"),
        ("the sea. ", r"\w{5}，.*"),
        ("，，", r"\w{5}，.*"),
    ],
)
def test_a_prompt_is_gone_on_with_where_it_stands(make: Callable[..., Writer], prompt: str, continuation: str) -> None:
    text = make(form="5,5/5,5").generate(prompt, 20, seed=2)
    assert re.fullmatch(continuation, text, re.DOTALL), text


def test_going_back_keeps_the_form_and_the_text(make: Callable[..., Writer]) -> None:
    writer = make(form="5,5/5,5", seed=3)
    pieces = writer.stream("", 40)
    text = "".join(pieces)
    assert writer.generate("", 40, seed=3) == text
    writer.undo(17)
    assert writer.transcript == text[:23]
    assert "".join(writer.stream("", 17)) == text[23:]
    here = writer.snapshot()
    after = "".join(writer.stream("", 30))
    writer.restore(here)
    assert "".join(writer.stream("", 30)) == after
    assert re.match(QUATRAIN, text + after)


def test_a_form_is_set_and_unset_in_the_repl(make: Callable[..., Writer]) -> None:
    session = Session(make(seed=3), lambda event: None, Models(), length=26)
    session.submit("/set form 5,5/5,5")
    session.submit("/acrostic 春夏秋冬")
    session.submit("")
    while session.running:
        session.step()
    assert re.match(r"春\w{4}，夏\w{4}。\n秋\w{4}，冬\w{4}。", session.writer.transcript)
    session.submit("/undo 9")
    session.submit("")
    while session.running:
        session.step()
    assert re.match(r"春\w{4}，夏\w{4}。\n秋\w{4}，冬\w{4}。\n\n春", session.writer.transcript)
    session.submit("/set form off")
    session.submit("/set acrostic off")
    assert (session.writer.settings["form"], session.writer.settings["acrostic"]) == ("", "")
    with pytest.raises(UsageError, match="form must be"):
        session.submit("/set form five")


def test_samples_side_by_side_are_those_of_one_alone(make: Callable[..., Writer]) -> None:
    writer = make(form="5,5/5,5")
    prompts = ["", "春", "春眠不覺曉，", "花落知多少"]
    assert writer.generate_batch(prompts, 30, seed=1) == [writer.generate(prompt, 30, seed=1) for prompt in prompts]


def test_what_cannot_be_written_is_one_line(make: Callable[..., Writer]) -> None:
    with pytest.raises(CelloquyError, match="'龍', which is no token"):
        make(acrostic="龍").generate("", 5, seed=1)
    with pytest.raises(CelloquyError, match="only 2 clauses"):
        make(acrostic="春夏秋", form="5,5").generate("", 5, seed=1)


@given(st.text("春眠不，。\n", max_size=60))
def test_the_place_depends_on_the_text_since_the_last_empty_line(text: str) -> None:
    form = places("2,3/4", "，。", "")
    assert place_after(form, "春眠\n\n" + text.lstrip("\n")) == place_after(form, text.lstrip("\n"))
