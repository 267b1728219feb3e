"""docs/commands.md: the reference of all commands as a page, from the same declarations as ``--help``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from repl.reference import CommandPage

HEAD = """\
# Commands

Made by `CELLOQUY_LOAD_PLUGINS= celloquy help --markdown > docs/commands.md` from the declarations that `--help` shows;
a test compares the two. The commands of the REPL are in [repl.md](repl.md).
"""


def reference_page(pages: Iterable[CommandPage]) -> str:
    """The page, a section a command."""
    return HEAD + "".join("\n" + "\n".join(_section(page)) + "\n" for page in pages)


def _section(page: CommandPage) -> Iterator[str]:
    yield f"{'#' * (len(page.words) + 1)} celloquy {page.name}"
    yield from ("", "```text", page.usage, "```")
    for paragraph in page.paragraphs:
        yield from ("", _text(paragraph))
    own = [(flags, text) for flags, text in page.options if flags.split()[0] not in ("--plugin", "--debug", "-h,")]
    if own:
        yield from ("", "| option | |", "|---|---|")
        yield from (f"| `{flags}` | {_text(text)} |" for flags, text in map(_row, own))


def _row(option: tuple[str, str]) -> tuple[str, str]:
    """An option for a table, where a bar would begin another column."""
    flags, text = option
    return flags.replace("|", "\\|"), text.replace("|", "\\|")


def _text(text: str) -> str:
    """Prose in which nothing is taken for markup."""
    return "".join("\\" + c if c in "*_<>[]`" else c for c in text)
