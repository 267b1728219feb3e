"""REPL commands on the text: again, back, marks, a new beginning, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cells.errors import UsageError
from repl.slash import Commands, number

if TYPE_CHECKING:
    from repl.session import Session

GROUP = "the text"


def add_text_commands(commands: Commands) -> None:
    """Declare them."""

    @commands.declare(
        "retry",
        GROUP,
        "Write again from the last prompt.",
        more="With a random seed the text is another one; with a seed of yours, and the knobs as they were, the same.",
    )
    def retry(session: Session, argument: str) -> None:
        session.retry()

    @commands.declare(
        "undo [N]",
        GROUP,
        "Take back the last turn, or N characters.",
        more="A letter with its accents or an emoji sequence is one character. The model is exactly where it was: the "
        "same seed goes on as if nothing had happened in between.",
    )
    def undo(session: Session, argument: str) -> None:
        taken = session.undo(number(argument, "the number of characters") if argument else None)
        session.say(f"took back {taken:,} character{'' if taken == 1 else 's'}")
        session.show_place()

    @commands.declare("mark NAME", GROUP, "Keep this place in the text under a name.")
    def mark(session: Session, argument: str) -> None:
        if not argument:
            raise UsageError(f"/mark needs a name; marks so far: {', '.join(session.marks) or 'none'}")
        session.mark(argument)
        session.say(f"marked {argument} at character {session.size:,}; /back {argument} returns here")

    @commands.declare(
        "back NAME",
        GROUP,
        "Return to a kept place, with the model's state, cell and knobs as they were there.",
        complete=lambda session: session.marks,
    )
    def back(session: Session, argument: str) -> None:
        name = argument or next(reversed(session.marks), "")
        session.back(name)
        session.say(f"back at {name}, character {session.size:,}, {session.writer.name}")
        session.show_place()

    @commands.declare("reset", GROUP, "Begin a new text; the knobs stay as they are.")
    def reset(session: Session, argument: str) -> None:
        session.reset()
        session.say("a new text")

    @commands.declare(
        "compare PROMPT",
        GROUP,
        "Let every cell of the family go on from the same prompt, side by side.",
        more="Same seed and knobs for all; Up/Down turn them all, Esc ends it. Your own text stays as it is.",
    )
    def compare(session: Session, argument: str) -> None:
        if not argument:
            raise UsageError("/compare needs a prompt, for example /compare ROMEO:")
        session.compare(argument)
