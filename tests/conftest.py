"""Properties are tried with fewer examples than Hypothesis' hundred: there are many, and the quick part stays quick."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("paddock", max_examples=50)
settings.load_profile("paddock")
