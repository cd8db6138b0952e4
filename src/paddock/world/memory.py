"""Telling Python's cyclic collector what a server's memory looks like."""

from __future__ import annotations

import gc


def settle() -> None:
    """Once, after the store is open: what is there will stay, and most of what comes is no garbage either.

    With 100,000 units the default thresholds spend half of every large commit looking through them for cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
