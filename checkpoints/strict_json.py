"""JSON from files that nobody vouches for."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from cells.errors import CelloquyError

MOST_PARTS = 200_000
"""Commas and opening brackets that a text may have: a bound on the time and memory that it can take."""

_ENDLESS_NUMBER = re.compile(r"[0-9]{300}")
"""A whole number this long is no size of anything, takes long to read, and may not fit a float."""


def parse_json(text: str | bytes, most_parts: int = MOST_PARTS, what: str = "its header") -> Any:
    """Strict JSON: no NaN or infinity, no duplicate keys, no lone surrogates, no absurd depth or number of parts.

    Raises CelloquyError, which says ``what`` is not JSON, if it is anything else.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        if sum(map(text.count, ",[{")) > most_parts or _ENDLESS_NUMBER.search(text):
            raise ValueError("it has too many parts, or endless numbers")
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode("utf-8")  # an escaped lone surrogate fails here
        return data
    except UnicodeError as error:
        raise CelloquyError(f"{what} is not JSON: it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise CelloquyError(f"{what} is not JSON: {reason}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
