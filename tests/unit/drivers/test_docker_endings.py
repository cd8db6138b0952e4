"""Who ended a container, from what an engine tells."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.drivers.docker_endings import MOST, Endings


def event(action: str, container: str = "c", **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"ID": container, "Attributes": attributes}}


def ended(
    at: str = "2026-01-01T00:00:10Z", *, status: str = "exited", stop_signal: str | None = None
) -> dict[str, Any]:
    return {"Id": "c", "State": {"Status": status, "FinishedAt": at}, "Config": {"StopSignal": stop_signal}}


@pytest.mark.parametrize(
    ("stop_signal", "sent", "stopped"),
    [
        (None, "15", True),
        (None, "9", True),
        (None, "1", False),
        (None, "3", False),
        ("SIGQUIT", "3", True),
        ("QUIT", "3", True),
        ("3", "3", True),
        ("SIGQUIT", "15", True),
        ("SIGQUIT", "1", False),
        ("SIGRTMIN+3", "37", True),
        ("nonsense", "15", True),
        ("nonsense", "2", False),
    ],
)
def test_a_signal_that_ends_it_interrupts(stop_signal: str | None, sent: str, stopped: bool) -> None:
    endings = Endings()
    assert not endings.interrupted(ended(stop_signal=stop_signal))
    endings.note(event("kill", signal=sent))
    assert endings.interrupted(ended(stop_signal=stop_signal)) is stopped
    assert not endings.interrupted(ended(status="running"))
    endings.note(event("start"))
    assert not endings.interrupted(ended(stop_signal=stop_signal))


def test_what_ended_before_its_engine_began_went_down_with_it() -> None:
    endings = Endings()
    assert not endings.interrupted(ended())
    endings.engine_started_s = 1767225610.5
    assert endings.interrupted(ended("2026-01-01T00:00:10Z"))
    assert not endings.interrupted(ended("2026-01-01T00:00:11Z"))
    assert not endings.interrupted(ended("0001-01-01T00:00:00Z"))


def test_the_oldest_are_forgotten_first() -> None:
    endings = Endings()
    endings.note(event("kill", signal="15"))
    for number in range(MOST):
        endings.note(event("kill", f"c{number}", signal="15"))
    assert not endings.interrupted(ended())
