"""Saving and opening: it goes on exactly where it was, and nothing that is wrong with a file harms what is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from terminal_kit.families import LETTERS, save_cell
from terminal_kit.talk import Talk

from cells.errors import CelloquyError, UsageError
from cells.lstm import LSTM
from checkpoints.tokenizers import ByteTokenizer, CharTokenizer
from repl.autosave import Autosave, latest
from repl.chat import MOST_CANDIDATES
from repl.opening import open_session
from repl.saving import fingerprint


@pytest.fixture
def file(here: Path, tmp_path: Path) -> str:
    """Where to save."""
    return str(tmp_path / "kept session.json")


def reopened(file: str) -> Talk:
    talk = Talk("chinese", "gru", seed=None)
    return talk.say(f"/open {file}")


def test_an_opened_session_goes_on_exactly_where_it_was(file: str) -> None:
    talk = Talk("tiny", length=150, seed=3).say("A", "/temp 0.9", "/top-p 0.8", "B", f"/save {file}")
    other = reopened(file)
    assert other.transcript == talk.transcript
    assert other.bits() == talk.bits()
    assert other.session.writer.name == "tiny.lstm"
    assert dict(other.session.writer.settings) == dict(talk.session.writer.settings)
    assert other.session.writer.seed == 3
    assert other.say("", "C").transcript == talk.say("", "C").transcript


def test_marks_and_undo_are_as_exact_after_opening(file: str) -> None:
    talk = Talk("tiny", length=100).say("A", "/mark one", "B", "/mark two", "/undo", "/cell gru", "C", f"/save {file}")
    other = reopened(file)
    for command in ("/undo 37", "/back two", "/undo", "/back one", "/undo 50"):
        assert other.say(command).transcript == talk.say(command).transcript
        assert other.bits() == talk.bits()
        assert other.session.writer.name == talk.session.writer.name
    assert other.say("D").transcript == talk.say("D").transcript


def test_a_session_saved_in_mid_stream_goes_on_with_the_same_text(file: str) -> None:
    talk = Talk("tiny", length=0).begin("A", 77)
    talk.session.submit(f"/save {file}")
    other = reopened(file)
    talk.session.stop()
    assert other.say("/length 50", "").transcript == talk.say("/length 50", "").transcript


def test_chat_speed_heat_and_length_are_kept(file: str) -> None:
    talk = Talk("talk", length=33).say("/speed 12", "/heat surprise", "/chat on", "/names Ann Bob", "/candidates 3")
    talk.say("HELLO", f"/save {file}")
    session = reopened(file).session
    assert (session.length, session.speed, session.heat) == (33, 12, "surprise")
    assert session.chat.on
    assert session.chat.candidates == 3
    assert session.chat.template == talk.session.chat.template


def test_a_mixture_is_opened_again(file: str) -> None:
    talk = Talk("tiny").say("/cell lstm+gru*0.5", "A", f"/save {file}")
    other = reopened(file)
    assert other.session.writer.name == "tiny.lstm+gru*0.5"
    assert other.say("B").transcript == talk.say("B").transcript


def test_half_a_character_at_the_end_is_kept(here: Path, tmp_path: Path) -> None:
    save_cell(tmp_path, "bytes", LSTM(), "lstm", ByteTokenizer())
    name = str(tmp_path / "bytes.lstm.safetensors")
    talk = Talk(name, None, length=0, temperature=3.0).begin("日", 40)
    file = tmp_path / "bytes.json"
    talk.session.submit(f"/save {file}")
    other = reopened(str(file))
    other.session.submit("/length 0")
    other.session.submit("")
    assert other.step(20).transcript == talk.step(20).transcript


def test_what_a_sampler_remembers_is_kept(file: str) -> None:
    talk = Talk("tiny", length=60, mirostat=1.5).say("A", f"/save {file}")
    assert reopened(file).say("").transcript == talk.say("").transcript


def test_the_file_says_what_a_person_wants_to_know(file: str) -> None:
    talk = Talk("tiny", seed=5).say("A", f"/save {file}")
    data = json.loads(Path(file).read_text())
    assert data["transcript"] == talk.transcript
    assert data["seed"] == 5
    assert data["settings"]["temperature"] == 0.8
    assert data["checkpoint"]["name"] == "tiny.lstm"
    assert data["checkpoint"]["fingerprint"] == fingerprint(talk.session.writer.loaded)


def test_a_checkpoint_that_was_trained_anew_reads_the_text_and_says_so(here: Path, tmp_path: Path) -> None:
    path = save_cell(tmp_path, "mine", LSTM(), "lstm", CharTokenizer(LETTERS), seed=1)
    file = tmp_path / "mine.json"
    talk = Talk(str(path), None).say("A", "/mark here", f"/save {file}")
    save_cell(tmp_path, "mine", LSTM(), "lstm", CharTokenizer(LETTERS), seed=2)
    other = reopened(str(file))
    assert other.transcript == talk.transcript
    assert other.session.marks == {}
    assert any("is not what wrote this any more" in note for note in other.notes)
    assert len(other.say("").transcript) == len(talk.transcript) + 40


def test_a_file_that_was_moved_away_is_found_by_its_name(file: str, here: Path) -> None:
    talk = Talk("tiny").say("A", f"/save {file}")
    data = Path(file).read_text().replace(str(here), "/nowhere").replace(str(here.resolve()), "/nowhere")
    Path(file).write_text(data)
    assert reopened(file).say("").transcript == talk.say("").transcript


def damaged(data: dict[str, Any], change: str) -> Any:
    """One way to spoil a session file."""
    passage = data["readings"][0]["passages"][-1]
    if change == "not an object":
        return [data]
    if change == "another format":
        data["format"] = 99
    elif change == "no text":
        del data["readings"]
    elif change == "a token of none":
        passage["tokens"] = [10**6]
    elif change == "a state cut short":
        passage["state"]["tensors"]["0.h"]["data"] = "AAAA"
    elif change == "a place of none":
        data["at"] = [0, 10**6]
    elif change == "text for numbers":
        data["random"] = ["a", "b", "c"]
    elif change == "no such checkpoint":
        data["readings"][0]["checkpoint"] |= {"path": "/nowhere/x.safetensors", "name": "nosuch.lstm"}
    elif change == "a passage before itself":
        passage["before"] = len(data["readings"][0]["passages"]) - 1
    elif change == "a temperature of minus one":
        data["settings"]["temperature"] = -1
    elif change == "a length without end":
        data["length"] = float("inf")
    elif change == "a turn without end":
        data["turns"] = [[float("inf"), 0]]
    elif change == "a setting of a megabyte":
        data["settings"]["form_marks"] = "\x1b[2J" * 200_000
    elif change == "no end of a turn":
        data["chat"]["template"]["end"] = ""
    return data


CHANGES = [
    "not an object",
    "another format",
    "no text",
    "a token of none",
    "a state cut short",
    "a place of none",
    "text for numbers",
    "no such checkpoint",
    "a passage before itself",
    "a temperature of minus one",
    "a length without end",
    "a turn without end",
    "a setting of a megabyte",
    "no end of a turn",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_file_is_refused_in_one_line_and_the_session_stays(file: str, change: str) -> None:
    Talk("tiny").say("A", f"/save {file}")
    data = json.loads(Path(file).read_text())
    Path(file).write_text(json.dumps(damaged(data, change)))
    talk = Talk("tiny", "gru").say("Z")
    stood, bits, knobs = talk.transcript, talk.bits(), dict(talk.session.writer.settings)
    with pytest.raises(CelloquyError) as error:
        open_session(talk.session, file)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000
    assert (talk.transcript, talk.bits(), dict(talk.session.writer.settings)) == (stood, bits, knobs)
    assert talk.session.writer.name == "tiny.gru"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_session_at_all_is_refused(file: str, content: bytes) -> None:
    Path(file).write_bytes(content)
    with pytest.raises(CelloquyError, match="session"):
        Talk("tiny").session.submit(f"/open {file}")


def test_a_file_that_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(CelloquyError, match=r"nowhere\.json could not be read"):
        Talk("tiny").session.submit("/open /tmp/nowhere.json")


def test_the_running_conversation_is_kept_and_only_when_it_changed(here: Path) -> None:
    talk, autosave = Talk("tiny", length=0), Autosave()
    autosave(talk.session)
    assert not autosave.path.exists()
    talk.begin("A", 30)
    autosave(talk.session)
    assert latest() == autosave.path
    assert autosave.path.stat().st_mode & 0o077 == 0
    written = autosave.path.stat().st_mtime_ns
    autosave(talk.session, now=True)
    assert autosave.path.stat().st_mtime_ns == written
    talk.step(5)
    autosave(talk.session, now=True)
    assert reopened(str(autosave.path)).transcript == talk.transcript


def test_what_was_taken_back_is_not_kept(here: Path) -> None:
    talk, autosave = Talk("tiny", length=200, seed=3), Autosave()
    talk.say("A", "/mark one", "B")
    autosave(talk.session, now=True)
    size = autosave.path.stat().st_size
    for _ in range(4):
        talk.say("/retry")
        autosave(talk.session, now=True)
        assert autosave.path.stat().st_size < size + 2000  # surprising characters take more bytes than others
    talk.say("/undo", "/undo", "C")
    autosave(talk.session, now=True)
    other = reopened(str(autosave.path))
    for command in ("", "/back one", "/undo 33", "D"):
        assert other.say(command).transcript == talk.say(command).transcript
        assert other.bits() == talk.bits()


def test_a_disk_that_refuses_is_said_once_and_the_conversation_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLOQUY_HOME", "/dev/null/home")
    talk, autosave = Talk("tiny", length=0), Autosave()
    talk.begin("A", 3)
    autosave(talk.session, now=True)
    talk.step(3)
    autosave(talk.session, now=True)
    assert sum("cannot be kept" in note for note in talk.notes) == 1
    talk.step(3)


def test_a_strangers_session_cannot_ask_for_answers_without_end(file: str) -> None:
    Talk("tiny").say("A", f"/save {file}")
    data = json.loads(Path(file).read_text())
    data["chat"]["candidates"] = 10**9
    Path(file).write_text(json.dumps(data))
    talk = reopened(file)
    assert talk.session.chat.candidates == MOST_CANDIDATES
    with pytest.raises(UsageError, match="at most 1000 answers"):
        talk.session.submit("/candidates 1001")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for_and_the_home_of_nobody_is_not_there(here: Path) -> None:
    os.mkfifo(here / "pipe.json")
    session = Talk("tiny").session
    for line in (f"/open {here / 'pipe.json'}", "/open ~nobody.at.all/x.json", "/save ~nobody.at.all/x.json"):
        with pytest.raises(CelloquyError, match=r"is not a file|could not be"):
            session.submit(line)
