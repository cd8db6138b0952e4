"""What this process is called in the process list."""

from __future__ import annotations

import ctypes
from pathlib import Path

_PR_SET_NAME = 15
_ARG_START, _ARG_END = 47, 48
"""Fields of /proc/self/stat, counted from 0 (proc(5))."""


def name_process(title: str) -> None:
    """Writes over the memory that holds our arguments, as setproctitle(3) does; they have been read already.

    Also keeps what was on the command line out of the list. A longer title than the arguments is cut.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ARG_START - 2]), int(fields[_ARG_END - 2])
    room = end - start
    if start and room > 1:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
