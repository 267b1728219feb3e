"""Commands: one declaration gives dispatch, help and completion."""

from __future__ import annotations

import re

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from terminal_kit.talk import Talk

from cells.errors import UsageError
from repl.completion import SlashCompleter
from repl.slash import GROUPS

pytestmark = pytest.mark.usefixtures("here")

PROMISED = re.findall(
    r"\S+",
    "help cell load temp top-k top-p min-p penalty seed length set "
    "retry undo mark back reset chat heat gates neuron info save open compare quit candidates speed",
)


@pytest.fixture(scope="module")
def talk(here: object) -> Talk:
    """A conversation in which nothing is written."""
    return Talk("tiny")


def completions(talk: Talk, text: str) -> list[str]:
    completer = SlashCompleter(lambda: talk.session)
    return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_command_has_a_page_of_help(talk: Talk, name: str) -> None:
    command = talk.session.commands.find(name)
    assert command.group in GROUPS
    talk.say(f"/help {name}")
    assert talk.notes[-1].startswith(f"/{name}")
    assert command.help in talk.notes[-1]


def test_every_line_of_help_is_a_sentence(talk: Talk) -> None:
    for command in talk.session.commands:
        assert command.help[0].isupper(), command.name
        assert command.help.endswith("."), command.name
        assert not command.help.endswith(".."), command.name


def test_help_is_short_grouped_and_names_every_command(talk: Talk) -> None:
    talk.say("/help")
    page = talk.notes[-1]
    assert all(f"/{name}" in page for name in PROMISED)
    assert all(group in page for group in GROUPS)
    assert len(page.splitlines()) < 12


def test_the_long_help_has_a_line_for_each_command(talk: Talk) -> None:
    talk.say("/help all")
    assert all(any(row.startswith(f"  /{name} ") for row in talk.notes[-1].splitlines()) for name in PROMISED)


def test_an_unknown_command_suggests_the_nearest(talk: Talk) -> None:
    with pytest.raises(UsageError, match="no command /tmep; did you mean /temp"):
        talk.session.submit("/tmep 1")
    with pytest.raises(UsageError, match="/help lists them"):
        talk.session.submit("/xyzzyq")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/temp warm", "temperature must be a number of at least 0, not 'warm'"),
        ("/undo some", "must be a whole number of at least 0, not 'some'"),
        ("/length -3", "the length must be a whole number of at least 0, not '-3'"),
        ("/heat hot", "/heat takes off, surprise, entropy, not 'hot'"),
        ("/chat maybe", "/chat takes on or off"),
        ("/load", "needs the name of a checkpoint"),
        ("/mark", "/mark needs a name"),
        ("/compare", "/compare needs a prompt"),
        ("/save", "/save needs a file name"),
        ("/open", "/open needs a file"),
        ("/retry now", "/retry takes no argument"),
        ("/set nosuch 1", "there is no option 'nosuch'"),
        ("/names one", "/names takes two names"),
        ("/cell lstm+", "a mixture is cells with weights above 0"),
        ("/cell lstm*0", "a mixture is cells with weights above 0"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(talk: Talk, line: str, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        talk.session.submit(line)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_command_without_its_argument_shows_the_present_value(talk: Talk) -> None:
    talk.say("/temp 0.65", "/temp", "/length", "/speed")
    assert talk.notes[-3:] == ["temperature 0.65", "length 40", "speed as fast as it comes"]


def test_set_shows_every_setting_and_sets_one(talk: Talk) -> None:
    talk.say("/set top-p 0.9", "/set")
    page = talk.notes[-1]
    assert talk.session.writer.settings["top_p"] == 0.9
    for option in talk.session.writer.settings.options:
        assert option.name in page
    for name in ("cell", "heat", "speed", "length"):
        assert f"\n{name} " in page
    talk.say("/set top-p 1")


def test_plugin_samplers_have_commands_and_knobs_like_the_built_in_ones(talk: Talk) -> None:
    names = [option.name for option in talk.session.writer.settings.options]
    assert "mirostat" in names
    talk.say("/mirostat 2")
    assert talk.session.writer.settings["mirostat"] == 2
    before = talk.session.knobs["mirostat"].value
    talk.session.knobs.turn("mirostat", -1)
    assert talk.session.knobs["mirostat"].value != before
    talk.say("/mirostat 0")


def test_quit_leaves(here: object) -> None:
    talk = Talk("tiny").say("/quit")
    assert talk.session.leaving


def test_info_says_what_is_known(talk: Talk) -> None:
    talk.say("/info")
    for part in ("tiny.lstm", "tiny.lstm.safetensors", "2.000 nats", "rnn, lstm, gru", "seed"):
        assert part in talk.notes[-1]


def test_commands_and_arguments_complete(talk: Talk) -> None:
    assert completions(talk, "/co") == ["compare"]
    assert set(completions(talk, "/se")) == {"set", "seed"}
    assert completions(talk, "/cell l") == ["lstm"]
    assert set(completions(talk, "/load ti")) == {"tiny", "tiny.rnn", "tiny.lstm", "tiny.gru"}
    assert completions(talk, "/heat s") == ["surprise"]
    talk.say("/mark one", "/mark other")
    assert completions(talk, "/back o") == ["one", "other"]
    assert "top-p" in completions(talk, "/set t")
    assert completions(talk, "/help und") == ["undo"]
    assert completions(talk, "/neuron ") == ["off", "h", "c"]
    assert completions(talk, "co") == []
    assert completions(talk, "//co") == []


def test_files_complete(talk: Talk, here: object) -> None:
    talk.say("/save kept.json")
    assert completions(talk, "/open kep") == ["t.json"]
