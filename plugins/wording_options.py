"""The options of ``plugins.wording``; apart from it, so that a command line can show them without torch."""

from __future__ import annotations

import math

from cells.errors import UsageError
from plugins.options import Option

LARGEST_BIAS = 1000.0


def bias_of(text: str) -> tuple[str, float]:
    """``TOKEN=VALUE`` as a token's text and a number; UsageError if it is not that."""
    token, equals, number = text.rpartition("=")
    try:
        bias = float(number)
    except ValueError:
        bias = math.nan
    if not equals or not token or not abs(bias) <= LARGEST_BIAS:
        raise UsageError(f"logit-bias must be TOKEN=NUMBER, the number from -1000 to 1000, not {text[:60]!r}")
    return token, bias


def _check_bias(text: str) -> None:
    if text:
        bias_of(text)


BANNED = (Option("banned", str, (), "A text that is never written (repeatable).", multiple=True),)

LOGIT_BIAS = (
    Option(
        "logit-bias",
        str,
        (),
        "Add a number to the logit of a token, given by its text (repeatable).",
        multiple=True,
        metavar="TOKEN=X",
        check=_check_bias,
    ),
)
