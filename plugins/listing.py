"""What is plugged in, as JSON and as lines: ``celloquy plugins list``. No torch here."""

from __future__ import annotations

import dataclasses
from typing import Any

from plugins.entries import PluginInfo
from plugins.registry import Registry


def to_json(registry: Registry) -> dict[str, Any]:
    """Every plugin with what it brought, and every failure."""
    return {
        "plugins": [_plugin(registry, info) for info in registry.plugins],
        "failures": [dataclasses.asdict(failure) for failure in registry.failures],
    }


def _plugin(registry: Registry, info: PluginInfo) -> dict[str, Any]:
    samplers = {entry.name: entry for entry in registry.samplers}
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.distribution_version,
        "source": info.source,
        "builtin": info.builtin,
        "cells": [{"name": name, "summary": registry.cells[name].summary} for name in info.cells],
        "samplers": [
            {"name": name, "options": [option.name for option in samplers[name].options]} for name in info.samplers
        ],
        "kernels": info.kernels,
    }


def to_lines(registry: Registry) -> list[str]:
    """The same for a person: a heading a distribution, a line a cell or sampler, then what failed to load."""
    lines: list[str] = []
    width = max((len(name) for info in registry.plugins for name in (*info.cells, *info.samplers)), default=0)
    for label, infos in _by_distribution(registry).items():
        lines.append(label)
        for info in infos:
            data = _plugin(registry, info)
            lines += [f"  cell     {cell['name']:<{width}}  {cell['summary']}".rstrip() for cell in data["cells"]]
        for info in infos:
            data = _plugin(registry, info)
            for sampler in data["samplers"]:
                flags = " ".join(f"--{name}" for name in sampler["options"])
                lines.append(f"  sampler  {sampler['name']:<{width}}  {flags}")
            if info.kernels:
                lines.append(f"  kernels  from {info.source}")
    if registry.failures:
        lines.append("failed to load")
        lines += [f"  {failure}" for failure in registry.failures]
    return lines


def _by_distribution(registry: Registry) -> dict[str, list[PluginInfo]]:
    found: dict[str, list[PluginInfo]] = {}
    for info in registry.plugins:
        found.setdefault(info.label, []).append(info)
    return found
