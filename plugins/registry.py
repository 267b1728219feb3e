"""The registry: every cell, sampler and kernel there is, whoever brought it, and what failed to load."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from cells.cell import Cell
from cells.errors import CelloquyError, UsageError
from plugins import hookspecs, sources
from plugins.entries import CellEntry, PluginFailure, PluginInfo, SamplerEntry
from plugins.guard import Blame, Guard, QuietStep, one_line
from plugins.options import Option, OptionSet
from plugins.sources import Source

if TYPE_CHECKING:
    from cells.layer import KernelFinder

HOOKS = ("register_cells", "register_samplers", "cell_kernel")


class RegisterCell(Protocol):
    """What ``register_cells`` is given."""

    def __call__(self, name: str, cell: type[Cell] | str, summary: str = "") -> None:
        """Register a cell class, or ``"package.module:Class"`` to be imported when it is used."""


class RegisterSampler(Protocol):
    """What ``register_samplers`` is given."""

    def __call__(
        self,
        sampler: Any,
        *,
        name: str = "",
        options: Sequence[Option] | None = None,
        order: float | None = None,
    ) -> None:
        """Register a Sampler class, or ``"package.module:Class"`` with its name, options and order."""


def _warn(message: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more; what is going on goes on
        sys.stderr.write(f"warning: {message}\n")


class Registry:
    """The cells, samplers, kernels and failures of one set of plugins.

    ``on_notice`` is called with one line when a plugin is caught at something while the program runs (a kernel that
    disagrees, a step that prints); by default it goes to standard error. A live screen puts its own in.
    """

    def __init__(self) -> None:
        self.cells: dict[str, CellEntry] = {}
        self.plugins: list[PluginInfo] = []
        self.failures: list[PluginFailure] = []
        self.on_notice: Callable[[str], None] = _warn
        self._samplers: list[SamplerEntry] = []
        self._objects: list[tuple[Any, PluginInfo]] = []
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._finder: KernelFinder | None = None

    # ------------------------------------------------------------------ what there is

    @property
    def samplers(self) -> list[SamplerEntry]:
        """The samplers in the order in which they act."""
        return sorted(self._samplers, key=lambda entry: entry.order)

    @property
    def sampler_options(self) -> OptionSet:
        """The options of all samplers, in the order in which these act."""
        return OptionSet(option for entry in self.samplers for option in entry.options)

    def entry(self, name: str) -> CellEntry:
        """The entry of a cell; CelloquyError lists the ones there are."""
        try:
            return self.cells[name]
        except KeyError:
            known = ", ".join(self.cells) or "none"
            raise CelloquyError(f"there is no cell {name!r}; there are: {known}") from None

    def cell_class(self, name: str) -> type[Cell]:
        """The class of a cell, imported now if it is lazy; CelloquyError names the distribution at fault."""
        return self.entry(name).load()

    def create_cell(self, name: str, options: Mapping[str, Any] | None = None, fenced: bool = True) -> Cell:
        """A cell with the given options; a string is read by the type of the option's default.

        The step of a stranger's cell is fenced (see ``QuietStep``) unless ``fenced`` is False, as for checking it.
        Raises UsageError for an option that does not exist or has the wrong type, CelloquyError for a cell that
        cannot be made.
        """
        entry = self.entry(name)
        cls = entry.load()
        who = f"cell {entry.label}"
        with Blame(who):
            defaults = cls.option_defaults()
        values = {key: _option(who, key, value, defaults) for key, value in (options or {}).items()}
        try:
            with Blame(who):
                cell: Cell = cls(**values)
        except CelloquyError as error:
            if isinstance(error.__cause__, UsageError):
                raise UsageError(str(error)) from error
            raise
        cell._label = entry.label
        if fenced and not entry.builtin:
            cell.step = QuietStep(cell.step, who, self.notice)  # type: ignore[method-assign]
        return cell

    def kernel_finder(self) -> KernelFinder:
        """The function by which a model finds the fused kernel of its cell among the plugins; made once."""
        if self._finder is None:
            from plugins.kernels import find_kernel

            self._finder = find_kernel(self.kernel_hooks(), self.notice)
        return self._finder

    def notice(self, message: str) -> None:
        """Tell the person, in one line, what a plugin was caught at."""
        self.on_notice(message)

    # ------------------------------------------------------------------ loading

    def add(self, source: Source) -> None:
        """Load one plugin and let it register what it has; every fault of it ends in ``failures``."""
        info = PluginInfo(source.name, source.distribution, source.distribution_version, source.origin, source.builtin)

        def fail(error: BaseException) -> None:
            self._fail(info, one_line(error))

        admitted: list[Any] = []
        with Guard(fail):
            plugin = source.load()
            if self._admit(info, plugin):
                admitted.append(plugin)
        if not admitted:
            return
        plugin = admitted[0]
        self.plugins.append(info)
        self._objects.append((plugin, info))
        self._finder = None
        info.kernels = any(impl.plugin is plugin for impl in self._manager.hook.cell_kernel.get_hookimpls())
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for hook, register in (
            ("register_cells", self._cell_registrar(info)),
            ("register_samplers", self._sampler_registrar(info)),
        ):
            with Guard(fail):
                self._manager.subset_hook_caller(hook, others)(register=register)

    def _admit(self, info: PluginInfo, plugin: Any) -> bool:
        """Register with pluggy, which checks the hooks' arguments; a hook of an unknown name refuses the plugin."""
        if self._manager.is_registered(plugin):
            return False
        problem = _hook_problem(self._manager, plugin)
        if problem:
            raise CelloquyError(problem)
        try:
            self._manager.register(plugin, f"{info.label} {info.name} {len(self._objects)}")
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(plugin):  # older versions of pluggy leave half of it behind
                self._manager.unregister(plugin)
            lines = str(error).splitlines()  # the first only repeats the plugin
            raise CelloquyError(" ".join(" ".join(lines[1:] or lines).split())) from error
        return True

    def _fail(self, info: PluginInfo, message: str) -> None:
        self.failures.append(PluginFailure(info.name, info.label, message))

    def _cell_registrar(self, info: PluginInfo) -> RegisterCell:
        def register(name: str, cell: type[Cell] | str, summary: str = "") -> None:
            summary = summary or _first_sentence(cell)
            try:
                entry = CellEntry(name, summary, info.distribution, info.distribution_version, cell, info.builtin)
            except CelloquyError as error:
                self._fail(info, one_line(error))
                return
            kept = self.cells.get(name)
            if kept is not None:
                owner = f"{kept.distribution} {kept.distribution_version}".strip()
                self._fail(info, f"the cell name {name!r} belongs to {owner}, which keeps it; {info.label} must rename")
                return
            self.cells[name] = entry
            info.cells.append(name)

        return register

    def _sampler_registrar(self, info: PluginInfo) -> RegisterSampler:
        def register(
            sampler: Any, *, name: str = "", options: Sequence[Option] | None = None, order: float | None = None
        ) -> None:
            try:
                entry = SamplerEntry(
                    sampler,
                    name=name,
                    options=options,
                    order=order,
                    distribution=info.distribution,
                    distribution_version=info.distribution_version,
                    builtin=info.builtin,
                    notice=self.notice,
                )
                self._check_sampler(entry)
            except CelloquyError as error:
                self._fail(info, one_line(error))
                return
            self._samplers.append(entry)
            info.samplers.append(entry.name)

        return register

    def _check_sampler(self, entry: SamplerEntry) -> None:
        """The names of a sampler and its options are its own; the first one keeps them."""
        for kept in self._samplers:
            if kept.name == entry.name:
                raise CelloquyError(f"the sampler name {entry.name!r} belongs to {kept.label}, which keeps it")
            for option in kept.options:
                for other in entry.options:
                    names = {option.key, option.command, option.short} & {other.key, other.command, other.short}
                    if names - {""}:
                        raise CelloquyError(f"sampler {entry.name}: option {other.name} belongs to {kept.label}")

    def kernel_hooks(self) -> list[tuple[str, Callable[..., Any]]]:
        """Whose kernel hook, and the hook; the plugin registered last is asked first, as pluggy has it."""
        hook = self._manager.hook.cell_kernel
        labels = {id(plugin): info.label for plugin, info in self._objects}
        return [
            (
                labels[id(impl.plugin)],
                self._manager.subset_hook_caller(
                    "cell_kernel", [other for other in self._manager.get_plugins() if other is not impl.plugin]
                ),
            )
            for impl in reversed(hook.get_hookimpls())
        ]


def _first_sentence(target: Any) -> str:
    """A summary from a class's docstring; a lazy cell without one stays without."""
    if isinstance(target, str):
        return ""
    lines = (getattr(target, "__doc__", None) or "").strip().splitlines()
    return lines[0].strip() if lines else ""


def _hook_problem(manager: pluggy.PluginManager, plugin: Any) -> str:
    """What is wrong with the plugin's set of hooks, or "": pluggy itself would ignore a misspelled name."""
    hooks = []
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            if name in HOOKS:
                return f"{name} lacks @hookimpl"
            continue
        hook = options.get("specname") or name
        if hook not in HOOKS:
            return f"there is no hook {hook!r}; there are: {', '.join(HOOKS)}"
        hooks.append(hook)
    return "" if hooks else f"it implements no hook (@hookimpl on one of {', '.join(HOOKS)})"


def _option(who: str, key: str, value: Any, defaults: Mapping[str, Any]) -> Any:
    """An option's value in the type of its default."""
    if key not in defaults:
        known = ", ".join(defaults) or "none"
        raise UsageError(f"{who}: there is no option {key!r}; there are: {known}")
    default = defaults[key]
    if default is None:
        return value
    kind = type(default)
    if kind not in (bool, int, float, str):
        raise CelloquyError(f"{who}: option {key} must be a number, string, boolean or None, not {default!r}")
    option = Option("value", kind, default, "")
    try:
        return option.parse(value) if isinstance(value, str) and kind is not str else option.validate(value)
    except UsageError:
        raise UsageError(f"{who}: option {key} must be {option.allowed}, not {value!r}") from None


def load_plugins(files: Iterable[str | Path] = (), builtin: Iterable[object] = ()) -> Registry:
    """A registry of the built-in plugins, those given as objects, the installed ones and the files, in that order.

    ``CELLOQUY_LOAD_PLUGINS`` chooses among the installed ones. Never raises for a plugin: see ``failures``.
    """
    registry = Registry()
    add_builtins(registry, builtin)
    for source in sources.installed(sources.wanted()):
        registry.add(source)
    for file in {Path(file).absolute(): file for file in files}.values():
        registry.add(sources.file_source(file))
    return registry


def add_builtins(registry: Registry, plugins: Iterable[object]) -> None:
    """Register Celloquy's own plugins: those of this package, then ``plugins``; those already there are left alone."""
    from plugins import builtin, gallery

    version = sources.own_version()
    for plugin in (builtin, gallery, *plugins):
        name = getattr(plugin, "__name__", type(plugin).__name__)
        registry.add(Source(name, "celloquy", version, name, functools.partial(_itself, plugin), builtin=True))


def _itself(plugin: object) -> object:
    return plugin


_default: Registry | None = None


def default_registry(builtin: Iterable[object] = ()) -> Registry:
    """The registry of this process, built at its first use; ``builtin`` plugins are added if they are not there yet."""
    global _default
    if _default is None:
        _default = load_plugins(builtin=builtin)
    else:
        add_builtins(_default, builtin)
    return _default


def set_default_registry(registry: Registry | None) -> None:
    """Make ``registry`` that of the process; None means that the next use builds it anew."""
    global _default
    _default = registry
