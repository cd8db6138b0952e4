"""Which containers were stopped, and which ended by themselves: the engine's inspection does not tell."""

from __future__ import annotations

import signal
from typing import Any

from paddock.drivers.docker_body import seconds

MOST = 4096
"""Of containers that were stopped; the oldest are forgotten first."""
_ENDING = (signal.SIGTERM, signal.SIGKILL)


class Endings:
    """`engine_started_s`: a container that ended before and is first looked at now went down with engine or machine."""

    def __init__(self) -> None:
        self.engine_started_s = 0.0
        self._signals: dict[str, int] = {}

    def note(self, event: dict[str, Any]) -> None:
        """An engine tells of every signal it sends before the container ends of it."""
        container, attributes = event["Actor"]["ID"], event["Actor"].get("Attributes") or {}
        match event.get("Action"):
            case "kill":
                self._signals.pop(container, None)
                self._signals[container] = _number(attributes.get("signal", ""))
                if len(self._signals) > MOST:
                    del self._signals[next(iter(self._signals))]
            case "start" | "destroy":
                self._signals.pop(container, None)

    def interrupted(self, found: dict[str, Any]) -> bool:
        state: dict[str, Any] = found["State"]
        if state["Status"] != "exited":
            return False
        if 0 < seconds(state.get("FinishedAt", "")) < self.engine_started_s:
            return True
        asked = _number((found.get("Config") or {}).get("StopSignal") or "")
        return self._signals.get(found["Id"], 0) in (*_ENDING, asked or signal.SIGTERM)


def _number(text: str) -> int:
    """Of "15", "TERM", "SIGTERM", "SIGRTMIN+3"; 0 for none of them."""
    if text.isdigit():
        return int(text)
    name, _, more = text.upper().removeprefix("SIG").partition("+")
    known = signal.Signals.__members__.get(f"SIG{name}")
    return known + int(more) if known and more.isdigit() else int(known or 0)
