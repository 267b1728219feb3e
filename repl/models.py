"""Where a session gets its models from: checkpoints by name, siblings of a family, a writer for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from cells.errors import CelloquyError

if TYPE_CHECKING:
    from checkpoints.loading import Loaded
    from plugins.entries import SamplerEntry
    from plugins.registry import Registry
    from repl.generator import Writer
    from repl.text_model import TextModel


class Models:
    """Loads checkpoints with one registry, each file once while its family is in use."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self._loaded: dict[Path, Loaded] = {}
        self._ready: WeakValueDictionary[Path, TextModel] = WeakValueDictionary()

    @property
    def samplers(self) -> Sequence[SamplerEntry]:
        """The samplers that are plugged in."""
        from repl.registration import registry

        return (registry() if self._registry is None else self._registry).samplers

    def load(self, name: str, cell: str | None = None) -> Loaded:
        """A checkpoint by name or path; CelloquyError if there is none or it cannot be loaded."""
        from checkpoints.finding import find
        from checkpoints.loading import load_checkpoint

        path = find(name, cell)
        if path not in self._loaded:
            self._loaded[path] = load_checkpoint(path, registry=self._registry)
        return self._loaded[path]

    def family(self, loaded: Loaded) -> dict[str, Path]:
        """The family of a checkpoint by cell; those in memory count even if their files are gone."""
        from checkpoints.finding import siblings

        member: Path = getattr(loaded, "member", loaded.path)
        family = _stem(member)[0]
        try:
            found = siblings(member)
        except CelloquyError:  # the file is gone: what is in memory goes on
            found = {}
        for path in self._loaded:
            if path.parent == member.parent and _stem(path)[0] == family:
                found.setdefault(_stem(path)[1], path)
        return found

    def sibling(self, loaded: Loaded, cell: str) -> Loaded:
        """The checkpoint of this cell in the family of another; CelloquyError lists the cells there are."""
        family = self.family(loaded)
        if cell not in family:
            raise CelloquyError(f"{loaded.header.family} has no cell {cell!r}; there are: {', '.join(family)}")
        path = family[cell]
        return self._loaded[path] if path in self._loaded else self.load(str(path))

    def writer(self, loaded: Loaded, settings: Mapping[str, Any]) -> Writer:
        """A new conversation with a checkpoint; UsageError for a setting that cannot be."""
        from repl.generator import Writer

        return Writer(self.ready(loaded), self._registry, **settings)

    def ready(self, loaded: Loaded) -> TextModel:
        """A checkpoint, ready to read and write: the same for all marks, columns and turns while one of them has it.

        Its packed weights take as much memory as the checkpoint itself.
        """
        from repl.text_model import TextModel

        model = self._ready.get(loaded.path)
        if model is None:
            model = self._ready[loaded.path] = TextModel(loaded)
        return model


def _stem(path: Path) -> tuple[str, str]:
    """Family and cell of a checkpoint file's name."""
    family, _, cell = path.name.removesuffix(path.suffix).rpartition(".")
    return family, cell
