"""Waiting on the outside: always on a condition, always with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_S = 0.02
STEP_MAX_S = 0.25


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """True as soon as the condition holds, False when the time is over. Looks less often as it goes on."""
    end_s = time.monotonic() + timeout_s
    step_s = STEP_S
    while not condition():
        if time.monotonic() >= end_s:
            return False
        time.sleep(step_s)
        step_s = min(step_s * 1.3, STEP_MAX_S)
    return True
