"""REPL commands on the model, on chat, on files, and on the program itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cells.errors import UsageError
from repl.chat import MOST_CANDIDATES
from repl.help_pages import KEYS, long_list, page, short_list
from repl.slash import Commands, number

if TYPE_CHECKING:
    from repl.conversation import Conversation
    from repl.session import Session

CHAT = "chat"
MODEL = "the model"
KEEPING = "keeping"
PROGRAM = "this program"


def checkpoint_names(conversation: Conversation) -> Iterable[str]:
    """Every family and every checkpoint, for completion."""
    from checkpoints.finding import list_checkpoints

    entries = list_checkpoints()
    return dict.fromkeys([entry.family for entry in entries] + [entry.name for entry in entries])


def add_model_commands(commands: Commands) -> None:
    """Declare what concerns the model."""

    @commands.declare(
        "cell [NAME]",
        MODEL,
        "Go on with another cell of the family, or a mixture of cells.",
        complete=lambda session: session.cells(),
        more="/cell lstm+gru averages the logits of both; /cell lstm+gru*0.5 gives gru half the weight.",
    )
    def cell(session: Session, argument: str) -> None:
        if argument:
            session.change_cell(argument)
        there = ", ".join(session.cells())
        session.say(f"{session.writer.name}; cells of this family: {there}")

    @commands.declare(
        "load NAME", MODEL, "Go on with another checkpoint, which reads the text so far.", complete=checkpoint_names
    )
    def load(session: Session, argument: str) -> None:
        if not argument:
            raise UsageError("/load needs the name of a checkpoint or a path")
        session.change_checkpoint(argument)
        session.say(f"{session.writer.name} goes on")

    @commands.declare("info", MODEL, "What is known about the checkpoint and this session.")
    def info(session: Session, argument: str) -> None:
        from repl.session_info import NAMES, session_info

        session.say(session_info(session), indent=NAMES)


def add_chat_commands(commands: Commands) -> None:
    """Declare what concerns dialogue."""

    @commands.declare(
        "chat [on|off]",
        CHAT,
        "Take each line as a turn of a dialogue, which the model answers; off shows the raw text.",
        complete=lambda session: ("on", "off"),
    )
    def chat(session: Session, argument: str) -> None:
        if argument not in ("", "on", "off"):
            raise UsageError(f"/chat takes on or off, not {argument!r}")
        session.set_chat(argument == "on" if argument else not session.chat.on)

    @commands.declare(
        "names [YOU ANSWER]",
        CHAT,
        "Name the two speakers of the dialogue.",
        more="A name of several words stands in quotes: /names Romeo 'First Citizen'.",
    )
    def names(session: Session, argument: str) -> None:
        try:
            words = shlex.split(argument)
        except ValueError:
            words = []
        if argument and len(words) != 2:
            raise UsageError("/names takes two names: yours and that of the answer")
        if words:
            session.name_speakers(words[0], words[1])
        session.say(session.chat.who)

    @commands.declare(
        "candidates N",
        CHAT,
        "Draw N answers at once and give the one that has most to do with the question; 1 is off.",
        more="The best by log p(answer | question) - 0.5 log p(answer): mutual information (Li et al. 2016).",
    )
    def candidates(session: Session, argument: str) -> None:
        if argument:
            count = number(argument, "the number of candidates")
            if count > MOST_CANDIDATES:
                raise UsageError(f"at most {MOST_CANDIDATES} answers are drawn at once")
            session.chat.candidates = max(1, count)
        session.say(f"candidates {session.chat.candidates}")


def add_file_commands(commands: Commands) -> None:
    """Declare what concerns files."""

    @commands.declare("save FILE", KEEPING, "Write text, settings, seed, marks and the model's state to a file.")
    def save(session: Session, argument: str) -> None:
        from repl.saving import save_session

        if not argument:
            raise UsageError("/save needs a file name, for example /save play.json")
        path = save_session(session, argument)
        count = len(session.marks)
        marks = f", {count} mark{'' if count == 1 else 's'}" if count else ""
        session.say(f"saved {session.size:,} characters{marks} to {path}")

    @commands.declare("open FILE", KEEPING, "Go on with a saved session exactly where it was.")
    def open_file(session: Session, argument: str) -> None:
        from repl.opening import open_session

        if not argument:
            raise UsageError("/open needs a file that /save wrote")
        open_session(session, argument)
        session.say(f"{argument}: {session.size:,} characters, {session.writer.name} goes on")
        session.show_place()


def add_program_commands(commands: Commands, keys: Sequence[tuple[str, str]] = KEYS) -> None:
    """Declare help, which ends with the keys, and the way out."""

    @commands.declare(
        "help [NAME|all]",
        PROGRAM,
        "Explain the commands, or one of them.",
        complete=lambda conversation: ["all", *(command.name for command in commands)],
    )
    def help_(conversation: Conversation, argument: str) -> None:
        if argument == "all":
            conversation.say(long_list(commands))
        else:
            conversation.say(page(commands.find(argument)) if argument else short_list(commands, keys))

    @commands.declare("quit", PROGRAM, "Leave; so does Ctrl-D.")
    def quit_(conversation: Conversation, argument: str) -> None:
        conversation.stop()
        conversation.leaving = True
