"""The conformance kit: does a cell keep its promises? Imported only when used, because it needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.conformance.kit import check_cell, conformance_checks
    from plugins.conformance.report import Outcome, Report

__all__ = ["Outcome", "Report", "check_cell", "conformance_checks"]

_HOMES = {"check_cell": "kit", "conformance_checks": "kit", "Report": "report", "Outcome": "report"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
