"""``celloquy plugins new NAME``: an installable project around one cell that already works."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container
from pathlib import Path
from string import Template

from cells.errors import CelloquyError, UsageError
from plugins.scaffold_files import FILES

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def names(name: str) -> dict[str, str]:
    """The names that a cell called ``name`` gives rise to; UsageError if it cannot be a cell's and a package's name."""
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise UsageError(
            f"a plugin's name must be words of lower-case letters and digits joined by - or _, not {name!r}"
        )
    identifier = name.replace("-", "_")
    class_name = "".join(word.capitalize() for word in identifier.split("_"))
    if keyword.iskeyword(class_name) or class_name == "Cell":
        class_name += "Cell"
    distribution = "celloquy-" + name.replace("_", "-")
    return {
        "name": name,
        "identifier": identifier,
        "package": f"celloquy_{identifier}",
        "class_name": class_name,
        "distribution": distribution,
    }


def scaffold(name: str, folder: str | Path = ".", taken: Container[str] = ()) -> list[Path]:
    """Write the project ``celloquy-NAME`` into ``folder``; returns its files, the project's own folder first.

    ``taken`` holds the cell names that others have. Nothing that exists is overwritten: CelloquyError.
    """
    values = names(name)
    if name in taken:
        raise UsageError(f"there is a cell {name!r} already; choose another name")
    root = Path(folder) / values["distribution"]
    try:
        root.mkdir(parents=True)
    except FileExistsError:
        raise CelloquyError(f"{root} exists already; nothing was written") from None
    except OSError as error:
        raise CelloquyError(f"{root} cannot be made: {error.strerror or error}") from error
    written = [root]
    for path, text in FILES.items():
        target = root / Template(path).substitute(values)
        target.parent.mkdir(exist_ok=True)
        target.write_text(Template(text).substitute(values), encoding="utf-8")
        written.append(target)
    return written
