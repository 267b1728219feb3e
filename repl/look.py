"""The styles of the screen: few colours, and none that carries a meaning alone."""

from __future__ import annotations

from prompt_toolkit.styles import Style

from repl import heat, neuron

STYLE = Style.from_dict(
    {
        "given": "bold",
        "note": "italic",
        "echo": "fg:ansibrightblack",
        "warning": "fg:ansiyellow",
        "error": "fg:ansired bold",
        "dim": "fg:ansibrightblack",
        "title": "bold underline",
        "prompt": "bold",
        "status": "fg:ansibrightblack",
        "status.name": "",
        "status.value": "bold",
        "status.ready": "fg:ansibrightblack",
        "status.busy": "fg:ansiyellow",
        "status.streaming": "fg:ansigreen",
        "status.comparing": "fg:ansigreen",
        "status.paused": "fg:ansiyellow bold",
        "status.spark": "fg:ansiblue",
        "bar": "fg:ansiblue",
        "knob": "",
        "knob.chosen": "reverse",
        "completion-toolbar": "noreverse",
        "completion-toolbar.completion": "",
        "completion-toolbar.completion.current": "reverse",
        "search-toolbar": "",
        "bottom-toolbar": "noreverse",
        **heat.STYLES,
        **neuron.STYLES,
    }
)
