"""``celloquy compare``: cells trained under equal conditions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from plugins.options import Option
from repl.click_options import OptionsCommand, current_program, given
from repl.program import Program


def _declare(program: Program) -> Iterable[Option]:
    from repl.lab.options import COMPARE_OPTIONS

    return COMPARE_OPTIONS


@click.command("compare", cls=OptionsCommand, declare=_declare)
@click.argument("corpus", metavar="CORPUS...", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(corpus: tuple[Path, ...], **parameters: Any) -> None:
    """Train several cells on CORPUS under equal conditions; draw their validation losses, print a table.

    Each run ends after --minutes (2 if no end is given), --steps or --epochs. The other options are those of train and
    hold for every cell. The checkpoints are thrown away unless --keep says where to put them.
    """
    from repl.lab.emit import check_output, emit
    from repl.lab.options import COMPARE_OPTIONS

    options = given(COMPARE_OPTIONS, parameters)
    values = COMPARE_OPTIONS.validate(options)
    check_output(values)
    registry = current_program().registry()
    from repl.lab.compare import compare_lab

    picture, data = compare_lab(corpus, options, values, registry)
    emit(picture, data, values)
