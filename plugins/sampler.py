"""What a sampler is: a transform of the logits with declared options. No torch here."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.options import Option
from plugins.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Stream:
    """One text being written: its tokens so far, and what samplers remember of it.

    ``memory`` holds JSON scalars only, under keys that begin with the sampler's name; a snapshot copies it.
    ``vocabulary`` says what the tokens read as; None only where a sampler is called without a checkpoint.
    """

    history: list[int] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    vocabulary: Vocabulary | None = field(default=None, compare=False, repr=False)

    def copy(self) -> Stream:
        """An independent copy: what a snapshot keeps."""
        return Stream(list(self.history), dict(self.memory), self.vocabulary)


class Sampler(abc.ABC):
    """A step between the model's logits and the draw. Subclass it, declare ``name``, ``options`` and ``order``.

    Samplers run from the lowest ``order`` to the highest: repetition penalty 100, the temperature 200, typical 300,
    top-k 400, top-p 500, min-p 600, mirostat 700.
    """

    name: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = ()
    order: ClassVar[int] = 350

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether these values change anything; an inactive sampler costs nothing.

        Asked only when an option is not at its default: with the defaults alone a sampler is always off.
        """
        return True

    @abc.abstractmethod
    def transform(self, logits: Tensor, values: Mapping[str, Any], streams: Sequence[Stream]) -> Tensor:
        """New logits [B, V] from ``logits`` [B, V], one stream a row; minus infinity bans a token.

        ``values`` holds every sampling option by key. The argument must not be changed.
        """

    def observe(self, token: int, surprise: float, values: Mapping[str, Any], stream: Stream) -> None:
        """Told of each token drawn; ``surprise`` is its -log probability by the model itself, in nats."""
        return None


TEMPERATURE_ORDER = 200
"""Where the division by the temperature stands among the samplers; it belongs to the program itself."""

_RESERVED = """
temperature temp seed greedy length prompt prompt-file lines echo no-echo stop samples json cell chat no-chat history
no-history plugin debug help version name load set retry undo mark back reset heat info save open compare quit
"""
RESERVED = frozenset(_RESERVED.split())
"""Names that a sampler's option cannot take: flags and REPL commands of the program itself."""

RESERVED_SHORTS = frozenset(("-t", "-n", "-p", "-h", "-s"))
