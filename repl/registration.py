"""The registry with this package's own samplers in it, which is what every command and every Writer uses. No torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from plugins.options import OptionSet
from plugins.registry import Registry, default_registry, load_plugins, set_default_registry
from repl import builtin_samplers
from repl.sampling_options import CORE_OPTIONS
from repl.visible import one_line


def registry() -> Registry:
    """The registry of this process, built-in samplers included."""
    return default_registry(builtin=(builtin_samplers,))


def load_registry(files: Sequence[str | Path] = ()) -> Registry:
    """A new registry with the given plugin files, made that of the process; each failure is one line on stderr."""
    loaded = load_plugins(files, builtin=(builtin_samplers,))
    set_default_registry(loaded)
    for failure in loaded.failures:
        whose = "" if failure.plugin == failure.distribution else f" ({failure.distribution})"
        print(one_line(f"warning: plugin {failure.plugin}{whose}: {failure.message}"), file=sys.stderr)
    return loaded


def sampling_options(of: Registry) -> OptionSet:
    """Every sampling option: the program's own, then those of the samplers in the order in which they act."""
    return CORE_OPTIONS + of.sampler_options
