"""The entry point for Simon Willison's command-line tool ``llm``: ``llm -m celloquy/shakespeare "ROMEO:"``.

``pip install 'celloquy[llm]'`` brings both. No torch is imported before a checkpoint is asked to write.
"""

from __future__ import annotations

from typing import Any

import llm


@llm.hookimpl
def register_models(register: Any) -> None:
    """A model for each family and each checkpoint that can be found by name."""
    from repl.llm_model import models

    for model in models():
        register(model)
