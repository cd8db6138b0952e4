"""What happened in a run, line by line: its digest tells two runs apart, its end tells how one failed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

KEPT_LINES = 6000


class Trace:
    """`echo` gets every line as it is written, None nobody."""

    def __init__(self, time: Callable[[], float], echo: Callable[[str], None] | None = None) -> None:
        self._time = time
        self._echo = echo
        self._digest = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.count = 0

    def note(self, who: str, event: str, **fields: object) -> None:
        words = "".join(f" {key}={value}" for key, value in fields.items())
        line = f"{self._time():10.4f} {who:<8} {event}{words}"
        self._digest.update(line.encode())
        self._digest.update(b"\n")
        self.lines.append(line)
        self.count += 1
        if self._echo is not None:
            self._echo(line)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()[:16]


class TraceLog:
    """Stands in for structlog's logger. What `exception` is told is a mistake in the program: it fails the run."""

    def __init__(self, trace: Trace, who: str, wrong: Callable[[str], None], alive: Callable[[], bool]) -> None:
        self._trace = trace
        self._who = who
        self._wrong = wrong
        self._alive = alive

    def info(self, event: str, **fields: object) -> None:
        if self._alive():
            self._trace.note(self._who, event, **fields)

    debug = warning = error = info

    def exception(self, event: str, **fields: object) -> None:
        self.info(event, **fields)
        if self._alive():
            self._wrong(f"{self._who}: {event}: {fields}")
