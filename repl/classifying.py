"""A classifier in the REPL: each line is answered with a bar for each label, and while it is typed already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cells.errors import UsageError
from repl.conversation import Conversation
from repl.events import Break, Shares, Sink, Text
from repl.knobs import Knobs
from repl.session_info import NAMES, checkpoint_rows, in_columns
from repl.slash import Commands
from repl.slash_model import MODEL, add_program_commands, checkpoint_names
from repl.status import Segment
from repl.visible import one_line

if TYPE_CHECKING:
    from checkpoints.labels.classifier import Classifier

LONGEST_PREVIEW = 5_000
"""Characters up to which a line is judged while it is typed; a longer one takes too long at each key."""


class ClassifierTalk(Conversation):
    """A conversation with a classifier. ``load`` gives another one by name."""

    def __init__(self, classifier: Classifier, out: Sink, load: Callable[[str], Classifier]) -> None:
        super().__init__(out)
        self.classifier = classifier
        self.load = load
        self.knobs = Knobs([])
        self.commands = classifier_commands()
        self._previewed = ""

    @property
    def name(self) -> str:
        return self.classifier.name

    def give(self, line: str) -> None:
        """A text to judge."""
        if not line:
            return
        self.tell_unknown(self.classifier.tokenizer.unknown_characters(line))
        self.out(Text(line, given=True))
        self.out(Break())
        self.out(Shares(tuple(self.classifier.classify(line).items())))

    def preview(self, text: str) -> None:
        text = text if len(text) <= LONGEST_PREVIEW and not text.startswith("/") else ""
        if text != self._previewed:
            self._previewed = text
            self.shares = tuple(self.classifier.classify(text).items()) if text else ()

    def status(self, doing: str, *, unicode: bool = True) -> list[Segment]:
        return [
            Segment(0, "class:status.name", self.name),
            Segment(2, "class:status", f"{len(self.classifier.labels)} labels"),
            Segment(1, f"class:status.{doing}", doing),
        ]


def classifier_commands() -> Commands:
    """The commands of a conversation with a classifier."""
    commands = Commands()

    @commands.declare("load NAME", MODEL, "Go on with another classifier.", complete=checkpoint_names)
    def load(talk: ClassifierTalk, argument: str) -> None:
        if not argument:
            raise UsageError("/load needs the name of a classifier or a path")
        talk.classifier = talk.load(argument)
        talk.say(f"{talk.name} goes on; labels: {_labels(talk.classifier)}")

    @commands.declare("info", MODEL, "What is known about the classifier.")
    def info(talk: ClassifierTalk, argument: str) -> None:
        classifier = talk.classifier
        rows = checkpoint_rows(classifier.name, classifier.path, classifier.header)
        talk.say(in_columns([*rows, ("labels", _labels(classifier)), ("by", classifier.method)]), indent=NAMES)

    add_program_commands(commands, KEYS)
    return commands


KEYS = (("Alt-Enter", "new line"), ("Ctrl-R", "search history"), ("Ctrl-C", "clear the line"), ("Ctrl-D", "leave"))


def _labels(classifier: Classifier) -> str:
    return ", ".join(map(one_line, classifier.labels))
