"""Every page: links lead somewhere, commands parse as they stand, the reference is what ``--help`` says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cells.errors import CelloquyError
from checkpoints.options import TRAIN_OPTIONS
from checkpoints.train import plan
from plugins.registry import set_default_registry
from repl.cli import COMMANDS, cli
from repl.click_options import given
from repl.program import Program
from repl.reference import command_pages
from repl.reference_page import reference_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SHELL = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SEPARATORS = ("|", "||", "&&", ";", ">", ">>", "<", "2>", "&")


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(autouse=True)
def _only_built_in_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLOQUY_LOAD_PLUGINS", "")
    set_default_registry(None)
    yield
    set_default_registry(None)


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_to_a_file_or_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words after ``celloquy`` of each command on a page, up to a pipe or the end."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\$\([^)]*\)", "SUBSTITUTED", line.removeprefix("$ "))
            if not re.search(r"(^|[\s/=])celloquy( |$)", line):
                continue
            words = shlex.split(line, comments=True)
            starts = [place for place, word in enumerate(words) if Path(word).name == "celloquy"]
            for start in starts:
                if start and words[start - 1] in ("install", "--name", "import"):
                    continue
                rest = words[start + 1 :]
                end = next((place for place, word in enumerate(rest) if word in SEPARATORS), len(rest))
                yield rest[:end]


def parse(words: list[str]) -> None:
    """Read a command line as the program would, and do nothing; raises what is wrong with it."""
    program = Program()
    with cli.make_context("celloquy", [*words] or ["repl"], obj=program, resilient_parsing=True) as root:
        command: click.Command = cli
        context = root
        rest = list(words)
        if not rest or (rest[0] not in COMMANDS and not rest[0].startswith("-")):
            rest = ["repl", *rest]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            below = command.get_command(context, rest[0])
            assert below is not None, rest[0]
            command, rest = below, rest[1:]
        if "--help" in rest or "--version" in rest or isinstance(command, click.Group):
            return
        parsed = command.make_context(command.name, rest, parent=context)
    if command.name == "train":
        assert plan({"name": "x", **given(TRAIN_OPTIONS, parsed.params)})


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_of_the_page_parses(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in command_lines(page):
        if "--plugin" in words:  # its options are its own
            continue
        try:
            parse(words)
        except (click.ClickException, CelloquyError) as error:
            pytest.fail(f"celloquy {shlex.join(words)}: {error}")


def test_the_pages_show_commands_at_all() -> None:
    assert sum(len(list(command_lines(page))) for page in PAGES) > 30


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["train", "x.txt", "--nosuch", "1"])
    with pytest.raises(click.UsageError):
        parse(["generate", "--lenght", "1"])


def test_the_reference_is_what_help_says() -> None:
    wanted = reference_page(command_pages(cli, Program()))
    there = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    remedy = "CELLOQUY_LOAD_PLUGINS= celloquy help --markdown > docs/commands.md"
    assert there == wanted, f"docs/commands.md is not in step; make it anew: {remedy}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        names = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        linked = {(page.parent / name).resolve() for name in names if name.endswith(".md") and "://" not in name}
        new |= {one for one in linked if one.is_file()} - reached
    assert [page_id(page) for page in PAGES if page not in reached] == []
