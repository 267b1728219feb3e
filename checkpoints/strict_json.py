"""JSON from files that nobody vouches for."""

from __future__ import annotations

import json
from typing import Any

from cells.errors import CelloquyError


def parse_json(text: str | bytes) -> Any:
    """Strict JSON: no NaN, no duplicate keys, no absurd depth. CelloquyError if it is anything else."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise CelloquyError(f"its header is not JSON: {reason}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
