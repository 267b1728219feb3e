"""What every test relies on."""

from __future__ import annotations

from hypothesis import settings

# An example's time says how busy the machine is, not whether the program is right.
settings.register_profile("any machine", deadline=None, max_examples=80)
settings.load_profile("any machine")
