"""The sampling options that belong to the program itself; every further one comes from a sampler. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugins.options import Option, OptionSet

CORE_OPTIONS = OptionSet(
    (
        Option(
            "temperature",
            float,
            0.8,
            "Divide the logits by this; 0 takes the likeliest token.",
            minimum=0,
            short="-t",
            step=0.05,
            command="temp",
        ),
        Option("seed", int, None, "Seed of the random numbers; random if not given.", minimum=0),
        Option("label", str, None, "Label that steers a model that has labels: NAME, or a mixture a:0.7,b:0.3."),
        Option(
            "label-strength",
            float,
            1.0,
            "How far the label stands from the mean of all labels: 1 as it was learned, 2 twice as far.",
            minimum=0,
            maximum=10,
            exclusive_minimum=True,
        ),
        Option("greedy", bool, False, "Always take the likeliest token, the same as temperature 0."),
    )
)


def effective_temperature(values: Mapping[str, Any]) -> float:
    """The temperature that a set of sampling values asks for: 0 when greedy."""
    return 0.0 if values["greedy"] else float(values["temperature"])
