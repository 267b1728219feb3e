"""Writers whose tokens are byte pairs or words keep every promise that those of characters keep."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checkpoints.evaluate import evaluate
from checkpoints.files import save_safetensors
from checkpoints.finding import find
from checkpoints.header import read_header
from checkpoints.loading import load_checkpoint, stored_tensors
from checkpoints.tokenizers import make_tokenizer
from repl.batch import Job
from repl.generator import Writer
from repl.mixture import mix
from repl.models import Models
from repl.session import Session

KINDS = ("bpe:400", "word", "word+nfkc")
CORPUS = (
    "The quality of mercy isn't strained, my lord.\n\nSECOND MURDERER:\n  A 1,234 ducats! 春眠不覺曉，處處聞啼鳥。 é\n"
    * 20
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, save: Callable[..., Path]) -> Path:
    """A family of two cells for each kind of tokens."""
    folder = tmp_path_factory.mktemp("subwords")
    for kind in KINDS:
        option, _, form = kind.partition("+")
        tokenizer = make_tokenizer(option, CORPUS, form or "none", lowercase=bool(form))
        for number, cell in enumerate(("lstm", "gru")):
            save(folder, family(kind), cell, tokenizer, seed=number)
    return folder


def family(kind: str) -> str:
    return kind.replace(":", "").replace("+", "")


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, folder: Path) -> Callable[..., Writer]:
    def build(cell: str = "lstm", **sampling: Any) -> Writer:
        return Writer(load_checkpoint(folder / f"{family(request.param)}.{cell}.safetensors"), **sampling)

    return build


def test_streamed_batched_and_alone_are_one_text(make: Callable[..., Writer]) -> None:
    writer = make(temperature=1.2)
    prompts = ["", "The quality", "my lord, 春眠", "SECOND\n"]
    together = writer.generate_batch(prompts, 40, seed=3)
    assert together == [writer.generate(prompt, 40, seed=3) for prompt in prompts]
    writer.reset()
    assert "".join(writer.stream(prompts[1], 40, seed=3)) == together[1]
    assert writer.transcript.startswith(prompts[1])


def test_undo_by_characters_cuts_within_a_token(make: Callable[..., Writer]) -> None:
    writer = make(temperature=0.7, seed=2)
    "".join(writer.stream("The quality of ", 60))
    text = writer.transcript
    for taken in (1, 2, 5, 1, 17):
        before = writer.transcript
        writer.undo(taken)
        assert writer.transcript == before[: len(before) - taken]
    writer.feed(" and so on")
    assert writer.transcript.startswith(text[:15])
    more = "".join(writer.stream("", 10))
    assert writer.transcript.endswith(more)


def test_a_snapshot_goes_on_to_the_same_characters(make: Callable[..., Writer]) -> None:
    writer = make(seed=5, temperature=1.5)
    list(writer.stream("my lord", 33))
    place = writer.snapshot()
    first = [str(piece) for piece in writer.stream("", 25)]
    writer.undo(7)
    writer.restore(place)
    assert [str(piece) for piece in writer.stream("", 25)] == first


def test_a_stop_text_inside_a_token_ends_before_it_and_leaves_nothing_of_it(make: Callable[..., Writer]) -> None:
    writer = make(temperature=1.0)
    free = writer.generate("The ", 120, seed=1)
    stop = next(m.group() for m in re.finditer(r"[a-z]{2}", free[20:]))
    expected = free[: free.index(stop)]
    assert writer.generate("The ", 120, seed=1, stop=[stop]) == expected
    pieces = list(writer.stream("The ", 120, seed=1, stop=[stop]))
    assert "".join(pieces) == expected
    assert pieces[-1].finish == "stop"
    assert writer.transcript == "The " + expected


def test_length_counts_tokens(make: Callable[..., Writer]) -> None:
    writer = make()
    (done,) = writer.continuations([Job("The ")], 9, seed=1)
    assert done.tokens == 9
    assert len(list(writer.stream("The ", 9))) == 9


def test_another_cell_writes_on_from_the_same_text(make: Callable[..., Writer]) -> None:
    writer = make(seed=1)
    list(writer.stream("The quality", 30))
    text = writer.transcript
    assert writer.swap("gru") == []
    assert writer.transcript == text
    list(writer.stream("", 10))
    assert writer.transcript.startswith(text)


def test_bits_a_character_are_those_of_the_whole_text(make: Callable[..., Writer]) -> None:
    writer = make()
    text = CORPUS[:400]
    score, figures = writer.score(text), evaluate(writer.loaded, text)
    assert score.nats_per_token == pytest.approx(figures["nats_per_token"], abs=1e-3)
    tokens = len(writer.loaded.tokenizer.encode(text))
    assert figures["tokens"] == tokens - 1
    bits = figures["nats_per_token"] / 0.6931471805599453 * tokens / len(text)
    assert figures["bits_per_character"] == pytest.approx(bits)


def test_a_conversation_is_saved_and_opened_again(make: Callable[..., Writer], tmp_path: Path) -> None:
    session = talk(make(seed=4))
    session.submit("The quality of")
    while session.running:
        session.step()
    session.submit(f"/save {tmp_path / 'talk.json'}")
    text = session.writer.transcript
    other = talk(make("gru", seed=9))
    other.submit(f"/open {tmp_path / 'talk.json'}")
    assert other.writer.transcript == text
    session.submit("")
    other.submit("")
    for one in (session, other):
        while one.running:
            one.step()
    assert other.writer.transcript == session.writer.transcript


def test_cells_of_the_same_tokens_mix(folder: Path) -> None:
    mixed = mix("lstm+gru", lambda cell: load_checkpoint(folder / f"bpe400.{cell}.safetensors"))
    assert Writer(mixed).generate("The", 20, seed=1)


def test_the_best_of_a_family_is_judged_by_bits_a_character(
    tmp_path: Path, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    for cell, tokens, nats, bits in (("lstm", "char", 1.5, 2.2), ("gru", "word", 5.0, 1.9)):
        path = save(tmp_path / "checkpoints", "mixed", cell, make_tokenizer(tokens, CORPUS))
        rewritten(path, val_loss=nats, val_bits_per_character=bits)
    monkeypatch.chdir(tmp_path)
    assert find("mixed").name == "mixed.gru.safetensors"


def talk(writer: Writer) -> Session:
    return Session(writer, lambda event: None, Models(), length=20)


def rewritten(path: Path, **figures: float) -> None:
    """The checkpoint with other figures."""
    header = replace(read_header(path), figures=figures)
    save_safetensors(path, stored_tensors(load_checkpoint(path).model), header.dumps())
