"""What a Writer promises: streams, going back, other cells."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cells.errors import CelloquyError, UsageError
from cells.state import state_tensors
from checkpoints.loading import load_checkpoint
from plugins.options import Option
from plugins.registry import Registry, load_plugins
from plugins.sampler import Sampler, Stream
from repl import builtin_samplers
from repl.generator import Writer

Make = Callable[..., Any]


def place(writer: Writer) -> tuple[Any, ...]:
    """Everything that decides how a writer goes on, state to the last bit."""
    reading = writer._reading
    state = {name: value.numpy().tobytes() for name, value in state_tensors(reading.position.state).items()}
    return (state, reading.position.pending, reading.randomness, list(reading.stream.history), reading.stream.memory)


def test_a_seeded_stream_repeats(write: Make) -> None:
    texts = {"".join(write().stream("ROMEO:", 100, seed=7)) for _ in range(3)}
    assert len(texts) == 1
    assert len(texts.pop()) == 100


def test_different_seeds_give_different_texts(write: Make) -> None:
    assert write().generate("a", 50, seed=1) != write().generate("a", 50, seed=2)


def test_greedy_is_temperature_0_and_takes_the_likeliest_token(write: Make) -> None:
    writer = write()
    greedy = writer.generate("ROMEO:", 40, greedy=True)
    assert writer.generate("ROMEO:", 40, temperature=0.0, seed=3) == greedy
    model, tokenizer = writer.loaded.model, writer.loaded.tokenizer
    tokens = tokenizer.encode("ROMEO:")
    for _ in range(40):
        logits = model(torch.tensor(tokens).unsqueeze(1))[0][-1, 0]
        logits[0] = -torch.inf
        tokens.append(int(logits.argmax()))
    assert tokenizer.decode(tokens[6:]) == greedy


def test_the_conversation_goes_on_where_the_text_stands(write: Make) -> None:
    whole, parts = write(), write()
    text = "".join(whole.stream("ROMEO:", 100, seed=1))
    first = "".join(parts.stream("ROMEO:", 30, seed=1))
    assert first + "".join(parts.stream("", 70)) == text
    assert parts.transcript == whole.transcript == "ROMEO:" + text


def test_generate_leaves_the_conversation_alone(write: Make) -> None:
    writer, other = write(), write()
    begin = "".join(writer.stream("a", 20, seed=1))
    assert begin == "".join(other.stream("a", 20, seed=1))
    writer.generate("something else", 20, temperature=2.0)
    writer.score("something else")
    assert "".join(writer.stream("", 50)) == "".join(other.stream("", 50))


def test_generate_writes_what_stream_writes(write: Make) -> None:
    writer = write()
    assert writer.generate("ROMEO:", 80, seed=5, top_p=0.9) == "".join(writer.stream("ROMEO:", 80, seed=5, top_p=0.9))


def test_a_setting_changed_in_mid_stream_counts_from_the_next_token(write: Make) -> None:
    writer = write(seed=1)
    stream = writer.stream("a", 60)
    for _ in range(20):
        next(stream)
    place_then = writer.snapshot()
    writer.settings["temperature"] = 0
    rest = "".join(stream)
    writer.restore(place_then)
    assert "".join(writer.stream("", 40, greedy=True)) == rest


def test_options_of_a_stream_end_with_it_but_changes_made_on_the_way_stay(write: Make) -> None:
    writer = write(temperature=0.5)
    list(writer.stream("a", 3, temperature=0.9, top_k=3))
    assert (writer.settings["temperature"], writer.settings["top-k"]) == (0.5, 0)
    for _ in writer.stream("a", 3, temperature=0.9, top_k=3):
        writer.settings["temperature"] = 0.7
    assert (writer.settings["temperature"], writer.settings["top_k"]) == (0.7, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", -1), ("temperature", float("nan")), ("top_p", 2), ("heat", 1), ("top_k", 1.5)]
)
def test_a_wrong_option_is_refused_at_once(write: Make, name: str, value: Any) -> None:
    writer = write()
    with pytest.raises(UsageError):
        writer.stream("a", **{name: value})
    with pytest.raises(UsageError):
        writer.generate("a", **{name: value})
    with pytest.raises(UsageError):
        writer.settings[name] = value


def test_the_unknown_character_is_read_named_and_never_written(write: Make) -> None:
    writer = write()
    assert writer.feed("Z☃Z") == ["Z", "☃"]
    text = "".join(writer.stream("", 3000, temperature=50.0))
    assert "\ufffd" not in text
    assert writer.transcript == "Z☃Z" + text


def test_an_empty_text_begins_like_a_line(write: Make) -> None:
    assert write().generate("", 50, seed=1) == write().generate("\n", 50, seed=1)


def test_a_snapshot_brings_everything_back(write: Make) -> None:
    writer = write(seed=3, repetition_penalty=1.3)
    list(writer.stream("To be", 150))
    snapshot, then = writer.snapshot(), place(writer)
    text = "".join(writer.stream("", 100))
    writer.settings["temperature"] = 1.7
    writer.swap("gru")
    writer.feed("something else")
    writer.restore(snapshot)
    assert place(writer) == then
    assert (writer.cell_name, writer.settings["temperature"]) == ("lstm", 0.8)
    assert "".join(writer.stream("", 100)) == text


def test_snapshots_are_branches(write: Make) -> None:
    writer = write(seed=3)
    list(writer.stream("To be", 50))
    root = writer.snapshot()
    left = "".join(writer.stream("L", 200))
    at_left, left_place = writer.snapshot(), place(writer)
    writer.restore(root)
    list(writer.stream("R", 300))
    writer.restore(at_left)
    assert place(writer) == left_place
    assert writer.transcript.endswith("L" + left)


@pytest.mark.parametrize("taken", [1, 5, 63, 64, 65, 200, 260])
def test_undo_is_as_if_nothing_had_happened(write: Make, taken: int) -> None:
    straight, back = write(seed=3), write(seed=3)
    list(straight.stream("To be", 300 - taken))
    list(back.stream("To be", 300))
    back.undo(taken)
    assert place(back) == place(straight)
    assert back.transcript == straight.transcript
    assert list(back.stream("", 20)) == list(straight.stream("", 20))


@pytest.mark.parametrize("name", ["tiny", "bytes"])
def test_undo_into_a_prompt_leaves_its_beginning(write: Make, name: str) -> None:
    straight, back = write(name, seed=3), write(name, seed=3)
    straight.feed("To 你")
    back.feed("To 你好, or not")
    list(back.stream("", 10))
    back.undo(back.character_count - 4)
    assert place(back) == place(straight)


def test_undo_of_more_than_all_is_the_beginning(write: Make) -> None:
    writer = write(seed=1)
    fresh = place(writer)
    list(writer.stream("To be", 10))
    writer.undo(10**9)
    assert writer.transcript == ""
    assert place(writer) == fresh


def test_old_states_are_given_up_and_still_come_back_exactly(write: Make) -> None:
    writer = write(seed=1)
    places = []
    for _ in range(90):
        list(writer.stream("", 64))
        places.append((writer.snapshot().passage, place(writer)))
    assert sum(passage.position is None for passage, _ in places) > 15
    for passage, then in (places[3], places[20]):
        writer._reading.go_to(passage)
        assert place(writer) == then


def test_half_a_character_stays_out_of_the_text_until_it_is_whole(write: Make) -> None:
    writer = write("bytes", seed=5)
    text = "".join(writer.stream("a", 400, temperature=1.5))
    parts = [len(piece) for piece in write("bytes", seed=5).stream("a", 400, temperature=1.5)]
    assert 0 in parts
    assert writer.transcript == "a" + text


def test_a_seed_set_on_the_way_begins_its_numbers_anew(write: Make) -> None:
    writer = write(seed=1)
    list(writer.stream("a", 10))
    here = writer.snapshot()
    writer.settings["seed"] = 9
    text = "".join(writer.stream("", 30))
    assert text != "".join(writer.stream("", 30))
    writer.restore(here)
    assert writer.seed == 1
    writer.settings["seed"] = 9
    assert "".join(writer.stream("", 30)) == text


def test_a_writer_without_a_seed_tells_the_one_it_drew(write: Make) -> None:
    writer = write()
    text = "".join(writer.stream("a", 30))
    assert write(seed=writer.seed).generate("a", 30) == text
    assert write().seed != writer.seed


@pytest.mark.parametrize("stop", ["e", "ab", "a b c", "aaa", "\n\n"])
def test_a_stop_text_ends_the_stream_and_leaves_nothing_of_itself(write: Make, stop: str) -> None:
    plain = write().generate("a", 600, seed=4, temperature=0.6, top_k=3)
    for start in (10, 37, 120):
        real = plain[start : start + len(stop)]
        writer = write()
        pieces = list(writer.stream("a", 600, seed=4, temperature=0.6, top_k=3, stop=(real, "☃☃")))
        expected = plain[: plain.index(real)]
        assert "".join(pieces) == expected
        assert pieces[-1].finish == "stop"
        assert writer.transcript == "a" + expected
        assert writer.generate("a", 600, seed=4, temperature=0.6, top_k=3, stop=(real,)) == expected


def test_after_a_stop_the_state_is_that_of_the_text_before_it(write: Make) -> None:
    plain = write().generate("a", 100, seed=4)
    stopped, straight = write(), write()
    list(stopped.stream("a", 100, seed=4, stop=(plain[70:75],)))
    list(straight.stream("a", len(stopped.transcript) - 1, seed=4))
    assert place(stopped) == place(straight)


def test_what_only_looks_like_a_stop_is_shown(write: Make) -> None:
    plain = write().generate("a", 100, seed=4)
    pieces = list(write().stream("a", 100, seed=4, stop=(plain[40:50] + "☃", plain[-2:] + "☃")))
    assert "".join(pieces) == plain
    assert [piece.finish for piece in pieces] == [None] * 99 + ["length"]


def test_the_text_goes_on_in_another_cell_and_back(write: Make) -> None:
    writer = write(seed=2)
    list(writer.stream("To be", 100))
    text = writer.transcript
    writer.swap("gru")
    assert (writer.name, writer.transcript) == ("tiny.gru", text)
    fresh = write(cell="gru", seed=2)
    fresh.feed(text)
    ours, theirs = writer._reading.position, fresh._reading.position
    assert ours.pending == theirs.pending
    assert torch.allclose(ours.state[0]["h"], theirs.state[0]["h"], atol=1e-5)
    list(writer.stream("", 50))
    text = writer.transcript
    writer.swap("lstm")
    assert (writer.cell_name, writer.transcript) == ("lstm", text)
    list(writer.stream("", 10))
    assert writer.transcript.startswith(text)


def test_swapping_there_and_back_without_writing_changes_nothing(write: Make) -> None:
    writer = write(seed=2)
    list(writer.stream("To be", 100))
    then = place(writer)
    writer.swap("rnn")
    writer.swap("lstm")
    assert place(writer) == then


def test_a_cell_that_was_left_finds_back_after_the_text_was_taken_back(write: Make) -> None:
    writer = write(seed=2)
    list(writer.stream("To be", 100))
    writer.swap("gru")
    list(writer.stream("", 30))
    writer.undo(80)
    text = writer.transcript
    writer.swap("lstm")
    straight = write(seed=2)
    list(straight.stream("To be", 50))
    assert writer.transcript == text == straight.transcript
    assert place(writer)[0] == place(straight)[0]


def test_an_unknown_sibling_is_refused_and_the_writer_goes_on(write: Make) -> None:
    writer = write(seed=2)
    list(writer.stream("To be", 10))
    with pytest.raises(CelloquyError, match="no cell 'swirl'; there are: rnn, lstm, gru"):
        writer.swap("swirl")
    assert len(list(writer.stream("", 10))) == 10


def test_a_loaded_sibling_works_on_after_its_file_is_gone(tmp_path: Path, save: Make) -> None:
    paths = [save(tmp_path, "gone", cell) for cell in ("lstm", "gru")]
    writer = Writer(load_checkpoint(paths[0]), seed=1)
    writer.swap("gru")
    writer.swap("lstm")
    for path in paths:
        os.unlink(path)
    writer.swap("gru")
    assert sorted(writer.siblings()) == ["gru", "lstm"]
    assert len("".join(writer.stream("a", 5))) == 5


def test_siblings_with_another_vocabulary_read_the_text_and_say_what_they_lack(tmp_path: Path, save: Make) -> None:
    from checkpoints.tokenizers import CharTokenizer

    save(tmp_path, "mixed", "lstm")
    save(tmp_path, "mixed", "gru", CharTokenizer("To be\n"))
    writer = Writer(load_checkpoint(tmp_path / "mixed.lstm.safetensors"), seed=1)
    writer.feed("To be!")
    assert writer.swap("gru") == ["!"]
    assert writer.transcript == "To be!"


def test_surprise_is_the_models_own_whatever_the_settings(write: Make) -> None:
    writer = write()
    pieces = list(writer.stream("ROMEO:", 50, seed=1, temperature=0.3, top_k=4))
    score = writer.score("ROMEO:" + "".join(pieces))
    assert np.allclose([piece.surprise for piece in pieces], score.surprises[6:], atol=1e-4)
    assert all(piece.entropy > 0 for piece in pieces)


def test_a_score_counts_what_is_known_and_follows_the_text(write: Make) -> None:
    score = write().score("To be ☃ or not")
    assert score.unknown == ("☃",)
    assert [number for number, nats in enumerate(score.surprises) if nats is None] == [0, 6]
    assert (score.tokens, score.characters) == (12, 14)
    with pytest.raises(CelloquyError, match="too short"):
        write().score("T")


def test_a_long_text_is_read_in_parts_and_scored_as_a_whole(write: Make) -> None:
    writer = write()
    text = "To be, or not to be. " * 120
    whole = writer.score(text)
    logits, _ = writer.loaded.model(torch.tensor(writer.loaded.tokenizer.encode(text)).unsqueeze(1))
    tokens = torch.tensor(writer.loaded.tokenizer.encode(text))
    expected = torch.nn.functional.cross_entropy(logits[:-1, 0], tokens[1:])
    assert whole.nats_per_token == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_surprise_of_a_long_text_is_that_of_reading_it_in_one_go(write: Make, cell: str) -> None:
    """It is read in rows side by side; each goes on from where the row before it ended."""
    writer = write("tiny", cell)
    text = "".join(writer.stream("To be", 5000, seed=1)) + "\u2603"
    tokens = torch.tensor(writer.loaded.tokenizer.encode(text))
    logits, _ = writer.loaded.model(tokens[:-1].unsqueeze(1))
    expected = torch.nn.functional.cross_entropy(logits[:, 0], tokens[1:], reduction="none").tolist()
    found = writer.score(text)
    assert found.surprises[0] is found.surprises[-1] is None
    assert np.allclose(found.surprises[1:-1], expected[:-1], atol=1e-3)
    assert found.tokens == len(tokens) - 2


class Counting(Sampler):
    """Remembers how many tokens it saw; bans nothing."""

    name = "counting"
    options = (Option("counting", bool, False, "Count."),)

    def transform(self, logits: torch.Tensor, values: Mapping[str, Any], streams: Any) -> torch.Tensor:
        return logits

    def observe(self, token: int, surprise: float, values: Mapping[str, Any], stream: Stream) -> None:
        stream.memory["counting"] = stream.memory.get("counting", 0) + 1


def _with_counting() -> Registry:
    from plugins.hookspecs import hookimpl

    class Plugin:
        @hookimpl
        def register_samplers(self, register: Any) -> None:
            register(Counting)

    return load_plugins(builtin=(builtin_samplers, Plugin()))


def test_what_a_sampler_remembers_goes_back_with_the_text(home: Path) -> None:
    registry = _with_counting()

    def make() -> Writer:
        return Writer(load_checkpoint("tiny", "gru"), registry, seed=1, counting=True)

    straight, back = make(), make()
    list(straight.stream("a", 100))
    list(back.stream("a", 170))
    assert back._reading.stream.memory == {"counting": 170}
    back.undo(70)
    assert place(back) == place(straight)
    back.settings["counting"] = False
    list(back.stream("", 10))
    back.undo(15)
    assert back._reading.stream.memory == {"counting": 95}
