"""The options of the samplers that ship here; apart from them, so that a command line can show them without torch."""

from __future__ import annotations

from plugins.options import Option

TYPICAL = (
    Option(
        "typical-p",
        float,
        1.0,
        "Keep the tokens of most typical surprise that hold this probability together (Meister et al. 2022); 1 is off.",
        minimum=0,
        maximum=1,
        exclusive_minimum=True,
        step=0.05,
    ),
)

MIROSTAT = (
    Option(
        "mirostat",
        float,
        0.0,
        "Steer the text's surprise to this many nats a token (mirostat 2, Basu et al. 2021); 0 is off.",
        minimum=0,
        step=0.1,
    ),
    Option(
        "mirostat-rate",
        float,
        0.1,
        "How fast mirostat learns.",
        minimum=0,
        maximum=1,
        exclusive_minimum=True,
    ),
)
