"""What this process is called in the process list."""

from __future__ import annotations

import ctypes
from pathlib import Path

_PR_SET_NAME = 15
_ARG_START, _ARG_END = 47, 48
"""Fields of /proc/PID/stat, counted from 0 (proc(5): 48 and 49)."""


def set_process_title(title: str) -> bool:
    """`ps` and `top` show `title` from now on. False where the system does not let us; nothing depends on it."""
    try:
        text = Path("/proc/self/stat").read_text()
        fields = [*text[: text.rindex(")") + 1].split(" ", 1), *text[text.rindex(")") + 2 :].split()]
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        libc = ctypes.CDLL(None)
    except (OSError, ValueError, IndexError):
        return False
    encoded = title.encode()
    libc.prctl(_PR_SET_NAME, encoded[:15], 0, 0, 0)
    room = end - start
    if start <= 0 or room <= len(encoded):
        return False
    ctypes.memset(start, 0, room)
    ctypes.memmove(start, encoded, len(encoded))
    return True
