"""Finding checkpoints by name: a path, a family, or ``family.cell``. No torch here, and nothing is loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cells.errors import CelloquyError
from checkpoints.header import Header, read_header

SUFFIX = ".safetensors"
CELL_ORDER = ("rnn", "lstm", "gru")
SHIPPED = Path(__file__).resolve().parent / "shipped"


@dataclass(frozen=True)
class Entry:
    """A checkpoint in a list: what ``celloquy list`` shows of it. ``bytes`` is the size of the file."""

    name: str
    family: str
    cell: str
    path: str
    parameters: int
    bytes: int
    val_loss: float | None
    val_bits_per_character: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry as ``celloquy list --json`` prints it; its keys are promised, and ``info`` has every figure."""
        return {key: value for key, value in asdict(self).items() if key != "val_bits_per_character"}


def home() -> Path:
    """Where Celloquy keeps what is the person's own: ``$CELLOQUY_HOME``, else the platform's data directory."""
    named = os.environ.get("CELLOQUY_HOME")
    if named:
        return expanded(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("celloquy", appauthor=False))


def expanded(name: str) -> Path:
    """The path that a person names, ``~`` being the home; a home that nobody has stays as it is written."""
    return Path(os.path.expanduser(name))


def search_folders() -> list[Path]:
    """Where names are looked up, in order: ``./checkpoints``, the home's, and what ships."""
    return [Path("checkpoints"), home() / "checkpoints", SHIPPED]


def find(name: str, cell: str | None = None) -> Path:
    """The file that ``name`` means; for a family, that of ``cell``, or of the best validation loss.

    With ``cell``, ``family.other`` and a path mean their family's checkpoint of that cell. Raises CelloquyError, with
    the names that there are.
    """
    path = _as_path(name)
    if path is None:
        path = _by_name(name, cell)
    return path if cell is None else _sibling(path, cell)


def _as_path(name: str) -> Path | None:
    """The name as a path, if it is meant as one."""
    if not name:
        raise CelloquyError("a checkpoint's name is empty")
    if not (name.endswith(SUFFIX) or os.sep in name or (os.altsep and os.altsep in name)):
        return None
    path = expanded(name)
    if path.suffix != SUFFIX and _is_file(Path(f"{path}{SUFFIX}")):
        return Path(f"{path}{SUFFIX}")
    if not _is_file(path):
        raise CelloquyError(f"there is no checkpoint file {name!r}; celloquy list shows what there is")
    return path


def _by_name(name: str, cell: str | None) -> Path:
    for folder in search_folders():
        exact = folder / f"{name}{SUFFIX}"
        if _is_file(exact):
            return exact
        family = _family(folder, name)
        if family:
            return family[cell] if cell in family else _best(family)
    known = sorted({path.name.removesuffix(SUFFIX) for folder in search_folders() for path in _files(folder)})
    there = f"there are: {', '.join(known[:20])}" if known else "there are none yet: celloquy train makes one"
    raise CelloquyError(f"there is no checkpoint {name!r}; {there}{', …' if len(known) > 20 else ''}")


def _sibling(path: Path, cell: str) -> Path:
    family = siblings(path)
    if cell not in family:
        raise CelloquyError(
            f"{path.name.removesuffix(SUFFIX)} has no sibling with cell {cell!r}; there are: {', '.join(family)}"
        )
    return family[cell]


def siblings(path: str | Path) -> dict[str, Path]:
    """The family of a checkpoint, cell name -> file, itself included: rnn, lstm and gru first, then by name.

    Siblings lie in the same folder and have names of the form FAMILY.CELL.safetensors. A file of another form is its
    own whole family.
    """
    path = Path(path)
    family, _, cell = path.name.removesuffix(SUFFIX).rpartition(".")
    found = _family(path.parent, family) if family else {}
    return found if cell in found else {read_header(path).cell_name: path}


def _family(folder: Path, family: str) -> dict[str, Path]:
    start = family + "."
    cells = {}
    for path in _files(folder):
        stem = path.name.removesuffix(SUFFIX)
        if stem.startswith(start) and "." not in stem[len(start) :]:
            cells[stem[len(start) :]] = path
    return {cell: cells[cell] for cell in sorted(cells, key=_cell_order)}


def _cell_order(cell: str) -> tuple[int, str]:
    return (CELL_ORDER.index(cell) if cell in CELL_ORDER else len(CELL_ORDER), cell)


def _best(family: dict[str, Path]) -> Path:
    """The member with the lowest validation loss; one that cannot be read comes last.

    Losses are compared in bits a character where every member has that, since members may have different tokens.
    """
    headers: dict[Path, Header] = {}
    for path in family.values():
        with contextlib.suppress(CelloquyError):
            headers[path] = read_header(path)
    losses = {path: header.val_bits_per_character for path, header in headers.items()}
    if None in losses.values():
        losses = {path: header.val_loss for path, header in headers.items()}
    ranked = {path: float("inf") if loss is None else loss for path, loss in losses.items()}
    return min(ranked, key=ranked.__getitem__) if ranked else next(iter(family.values()))


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _is_checkpoint(path))
    except OSError:
        return []


def _is_checkpoint(path: Path) -> bool:
    return path.name.endswith(SUFFIX) and not path.name.startswith(".") and _is_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def entry(path: Path, header: Header) -> Entry:
    """The list entry of a checkpoint."""
    family, _, cell = path.name.removesuffix(SUFFIX).rpartition(".")
    if not family or cell != header.cell_name:
        family, cell = header.family, header.cell_name
    return Entry(
        path.name.removesuffix(SUFFIX),
        family,
        cell,
        str(path),
        header.parameters,
        header.bytes,
        header.val_loss,
        header.val_bits_per_character,
    )


def list_checkpoints(problems: list[str] | None = None) -> list[Entry]:
    """Every checkpoint that can be found by name; where two have the same name, the one that is found.

    Files that cannot be read are left out; a line about each is appended to ``problems``.
    """
    entries: dict[str, Entry] = {}
    for folder in search_folders():
        for path in sorted(_files(folder), key=_by_family):
            if path.name.removesuffix(SUFFIX) in entries:
                continue
            try:
                found = entry(path, read_header(path))
            except CelloquyError as error:
                if problems is not None:
                    problems.append(str(error))
                continue
            entries[found.name] = found
    return list(entries.values())


def _by_family(path: Path) -> tuple[str, tuple[int, str]]:
    family, _, cell = path.name.removesuffix(SUFFIX).rpartition(".")
    return family, _cell_order(cell)


def describe(path: str | Path) -> dict[str, Any]:
    """Everything that a checkpoint says of itself, for ``celloquy info``: list entry, header, stored dtypes."""
    header = read_header(path)
    dtypes: Iterable[str] = sorted({info.dtype.lower() for info in header.tensors.values()})
    return {**entry(Path(path), header).to_json(), **header.to_json(), "dtypes": list(dtypes)} | {
        "name": Path(path).name.removesuffix(SUFFIX)
    }
