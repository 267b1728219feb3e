"""The recurrence: cells, the engine that runs them over time, and the language model over it."""

from __future__ import annotations

import os

# oneDNN keeps what it makes for each shape of a product, a thousand of them: for texts of ever other lengths, read by
# a model of 2 MB, that came to 600 MB. A step, of training too, needs fewer than these. It looks once, at first use.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
