"""A checkpoint as a model of the ``llm`` tool: it streams, takes the sampling options, goes on in a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import llm
import pydantic

from checkpoints.finding import list_checkpoints
from checkpoints.header import GENERATE, read_header
from plugins.options import Option
from repl.registration import registry, sampling_options

if TYPE_CHECKING:
    from checkpoints.dialog import Template
    from repl.generator import Writer

PREFIX = "celloquy/"

OWN_OPTIONS = (
    Option("length", int, 200, "Tokens to draw.", minimum=1),
    Option("stop", str, None, "End before this text."),
    Option("cell", str, None, "The family's checkpoint of this cell."),
)


def models() -> Iterator[CelloquyModel]:
    """Each family (its best member) and each checkpoint, as a model."""
    names: dict[str, None] = {}
    for entry in list_checkpoints([]):
        if read_header(entry.path).task != GENERATE:
            continue
        names.setdefault(entry.family)
        names.setdefault(entry.name)
    for name in names:
        yield CelloquyModel(name)


@cache
def options_class() -> type[llm.Options]:
    """The options that ``llm -o NAME VALUE`` takes, from the declarations of the program and its samplers.

    All are optional; the program itself checks their values, and refuses a wrong one in its own words.
    """
    kinds: dict[Any, Any] = {int: int, float: float, bool: bool}
    fields: dict[str, Any] = {
        option.key: (kinds.get(option.kind, str) | None, pydantic.Field(default=None, description=_help(option)))
        for option in (*OWN_OPTIONS, *sampling_options(registry()))
        if not option.multiple
    }
    return pydantic.create_model("Options", __base__=llm.Options, **fields)


def _help(option: Option) -> str:
    return option.help if option.default is None else f"{option.help} Default {option.format(option.default)}."


class CelloquyModel(llm.Model):
    """One checkpoint, or the best of a family."""

    can_stream = True

    def __init__(self, name: str) -> None:
        self.model_id = PREFIX + name
        self.name = name
        self.Options = options_class()  # type: ignore[assignment]
        self._writers: dict[str | None, Writer] = {}

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str]:
        """The continuation of the prompt, piece by piece; in a conversation, that of all that was said before it.

        A checkpoint that carries a dialogue template is given turns, and answers one turn.
        """
        given = {key: value for key, value in dict(prompt.options).items() if value is not None}
        own = {option.key: _value(option, given.pop(option.key, option.default)) for option in OWN_OPTIONS}
        settings = {key: _value(sampling_options(registry())[key], value) for key, value in given.items()}
        writer = self._writer(own["cell"])
        text, stops = self._text(prompt, conversation, writer)
        writer.reset()
        if "seed" not in settings:
            settings["seed"] = None
            writer.settings["seed"] = None
        if own["stop"]:
            stops += (own["stop"],)
        pieces = writer.stream(text, own["length"], stop=stops, **settings)
        for piece in pieces:
            if piece:
                yield str(piece)
        response.response_json = {"checkpoint": writer.name, "cell": writer.cell_name, "seed": writer.seed}

    def _writer(self, cell: str | None) -> Writer:
        """The writer on a cell of the family, loaded at its first use."""
        if cell not in self._writers:
            from checkpoints.loading import load_checkpoint
            from repl.generator import Writer

            self._writers[cell] = Writer(load_checkpoint(self.name, cell, registry()), registry())
        return self._writers[cell]

    def _text(
        self, prompt: llm.Prompt, conversation: llm.Conversation | None, writer: Writer
    ) -> tuple[str, tuple[str, ...]]:
        """What the model reads, and the texts before which it ends."""
        before = conversation.responses if conversation is not None else []
        said = [(str(one.prompt.prompt), "".join(one)) for one in before if isinstance(one, llm.Response)]
        system = f"{prompt.system}\n" if prompt.system else ""
        data = writer.loaded.header.template
        if data is None:
            return system + "".join(asked + answered for asked, answered in said) + str(prompt.prompt), ()
        from repl.chat import template_of

        template = template_of(writer.loaded.header)
        return system + _turns(template, said, str(prompt.prompt)), (template.end,)


def _turns(template: Template, said: Sequence[tuple[str, str]], now: str) -> str:
    """A conversation as the checkpoint learned it, up to where its answer begins."""
    turns = (template.turn(asked) + template.turn(answered, answer=True) for asked, answered in said)
    return "".join(turns) + template.turn(now) + template.answer_mark


def _value(option: Option, value: Any) -> Any:
    """A value in the option's own type: ``llm`` hands over numbers and texts alike."""
    return option.parse(value) if isinstance(value, str) and option.kind is not str else option.validate(value)
