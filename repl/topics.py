"""What ``celloquy help TOPIC`` explains beyond the commands: names, sampling, keys, exit statuses. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugins.options import OptionSet
from repl.help_pages import FURTHER_KEYS, KEYS
from repl.table import table


@dataclass(frozen=True)
class Topic:
    """A page of help: its name on the command line, a title, and paragraphs; lists are indented by two columns."""

    name: str
    title: str
    text: str


NAMES = """\
NAME is a path to a .safetensors file, a family (shakespeare), or family.cell (shakespeare.gru). A family without a cell
means its member with the best validation loss; --cell chooses another.

Names are looked up in ./checkpoints, then in $CELLOQUY_HOME/checkpoints (the platform's data folder if that is not
set), then among the checkpoints that ship. celloquy list shows what there is."""

ENVIRONMENT = """\
  CELLOQUY_HOME          folder of the person's own checkpoints, of what the REPL keeps, and of caches
  CELLOQUY_LOAD_PLUGINS  installed plugins to load, separated by commas; empty: none; not set: all
  CELLOQUY_DEBUG         1 shows the traceback of an error, as --debug does
  CELLOQUY_REFLOW        1 or 0: the terminal does or does not break its rows anew when it gets narrower
  CXX                    the C++ compiler of generate --compile
  NO_COLOR               any value: no colours
  TERM                   dumb: a plain REPL without a live screen"""

STATUSES = """\
  0    done
  1    it could not be done; one line on standard error says why and what to do
  2    the command line is wrong
  130  interrupted (143 by SIGTERM, 129 where the terminal was closed)

Standard output carries the result and nothing else; progress, warnings and errors go to standard error."""

FILES = """\
A checkpoint is one .safetensors file: tensors, and a JSON header with the cell, its options and version, the sizes, the
whole vocabulary, the corpus's fingerprint, the figures and the recipe. Reading one never runs anything that it names.

Beside NAME.CELL.safetensors training keeps the folder NAME.CELL.run with log.jsonl, an object a line (train, eval,
sample, done; losses in nats a token), and with what --resume needs.

Under $CELLOQUY_HOME the REPL keeps the lines typed in history.jsonl and the last conversations in sessions, for repl
--continue; with --no-history neither."""


def topics(sampling: OptionSet) -> list[Topic]:
    """Every topic; the sampling options are those of the program and its plugins."""
    return [
        Topic("names", "Names of checkpoints", NAMES),
        Topic("sampling", "Sampling options", _sampling(sampling)),
        Topic("keys", "Keys of the REPL", _indented([*KEYS, *FURTHER_KEYS])),
        Topic("environment", "Environment variables", ENVIRONMENT),
        Topic("exit-status", "Exit statuses", STATUSES),
        Topic("files", "Files", FILES),
    ]


def _sampling(options: OptionSet) -> str:
    rows = [
        (f"--{option.name}", option.format(option.default), option.help) for option in options if not option.multiple
    ]
    return _indented(rows) + "\n\nThe second column is the default. In the REPL, /set shows and changes them, too."


def _indented(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join("  " + line for line in table((), rows).splitlines())
