"""The recurrence: cells, the engine that runs them over time, and the language model over it."""

from __future__ import annotations

import os

# oneDNN keeps what it makes for each shape of a product, a thousand of them: for prompts of ever other lengths, read by a
# model of 2 MB, that came to 700 MB. One step, of training too, needs fewer than these. It looks once, before its first.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
